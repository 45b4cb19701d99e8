"""Who else can do a job: other libraries by their documented calls, and textbook loops.

Each function prepares what is not timed (classifiers that answer from a table, arrays in the layout
that the library wants) and returns the call that is: `call(run) -> picks`, as rows of the pool.
The first line of its docstring says what is called. Libraries are imported by name, so that those
that are not installed are only missing from the table.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import faiss
import numpy as np
import torch
from benchmark_cases import Array, Case, entropies, squared
from sklearn.cluster import MiniBatchKMeans
from sklearn.neighbors import NearestNeighbors

from activeloop.neighbors import NeighborSearch, PoolNeighbors

Call = Callable[[int], Any]
Rival = Callable[[Case], Call]

ACTIVELOOP, TEXTBOOK, FLOOR = "activeloop", "textbook loop", "floor"
PACKAGES = ("scikit-activeml", "modAL-python", "small-text", "baal", "scikit-learn", "faiss-cpu")
RIVALS: dict[str, dict[str, Rival]] = {}

_CHUNK = 1024


def rival(name: str, *jobs: str) -> Callable[[Rival], Rival]:
    """Register a function as `name`'s way of doing `jobs`."""

    def register(function: Rival) -> Rival:
        for job in jobs:
            RIVALS.setdefault(job, {})[name] = function
        return function

    return register


# ---------------------------------------------------------------------------- scikit-activeml


def _partial_labels(case: Case) -> Array:
    labels = np.full(len(case.features), np.nan)
    labels[case.labelled] = case.labels[case.labelled]
    return labels


def _frozen(case: Case) -> Any:
    """Return a classifier of scikit-activeml that looks its answers up by the number of rows."""
    answers = {len(r): case.probs[r] for r in (case.labelled, case.unlabelled)}
    answers[len(case.probs)] = case.probs
    members = None if case.members is None else case.candidates
    base = import_module("skactiveml.base").SkactivemlClassifier
    methods = {
        "fit": lambda self, X, y, sample_weight=None: self,
        "predict_proba": lambda self, X: answers[len(X)].copy(),
        "predict": lambda self, X: answers[len(X)].argmax(axis=1),
        "sample": lambda self, X: members,
        "__sklearn_is_fitted__": lambda self: True,
    }
    made = type("Frozen", (base,), methods)(classes=list(range(case.probs.shape[1])))
    made.classes_ = np.arange(case.probs.shape[1])
    return made


def _skactiveml(case: Case, name: str, how: str = "clf", **options: Any) -> Call:
    strategy = getattr(import_module("skactiveml.pool"), name)
    given: dict[str, Any] = {"X": case.features, "y": _partial_labels(case), "batch_size": case.k}
    if how:
        given |= {how: _frozen(case), "fit_" + how: False}
    return lambda run: strategy(random_state=case.seed + run, **options).query(**given)


@rival("scikit-activeml", "k_center")
def _(case: Case) -> Call:
    """CoreSet().query"""
    return _skactiveml(case, "CoreSet", "")


@rival("scikit-activeml", "badge", "badge_1000")
def _(case: Case) -> Call:
    """Badge().query"""
    return _skactiveml(case, "Badge")


@rival("scikit-activeml", "cal")
def _(case: Case) -> Call:
    """ContrastiveAL(10 neighbours, brute).query"""
    how = {"n_neighbors": 10, "algorithm": "brute"}
    return _skactiveml(case, "ContrastiveAL", nearest_neighbors_dict=how)


@rival("scikit-activeml", "entropy")
def _(case: Case) -> Call:
    """UncertaintySampling("entropy").query"""
    return _skactiveml(case, "UncertaintySampling", method="entropy")


@rival("scikit-activeml", "margin")
def _(case: Case) -> Call:
    """UncertaintySampling("margin_sampling").query"""
    return _skactiveml(case, "UncertaintySampling", method="margin_sampling")


@rival("scikit-activeml", "bald")
def _(case: Case) -> Call:
    """GreedyBALD().query"""
    return _skactiveml(case, "GreedyBALD", "ensemble", sample_predictions_method_name="sample")


@rival("scikit-activeml", "batchbald")
def _(case: Case) -> Call:
    """BatchBALD(n_MC_samples=configurations).query"""
    draws = int(case.numbers["configurations"])
    options = {"sample_predictions_method_name": "sample", "n_MC_samples": draws}
    return _skactiveml(case, "BatchBALD", "ensemble", **options)


@rival("scikit-activeml", "vote_entropy")
def _(case: Case) -> Call:
    """QueryByCommittee("vote_entropy").query"""
    options = {"method": "vote_entropy", "sample_predictions_method_name": "sample"}
    return _skactiveml(case, "QueryByCommittee", "ensemble", **options)


@rival("scikit-activeml", "kl_to_mean")
def _(case: Case) -> Call:
    """QueryByCommittee("KL_divergence").query"""
    options = {"method": "KL_divergence", "sample_predictions_method_name": "sample"}
    return _skactiveml(case, "QueryByCommittee", "ensemble", **options)


@rival("scikit-activeml", "typiclust")
def _(case: Case) -> Call:
    """TypiClust(MiniBatchKMeans, k=20).query"""
    how = {"n_init": 1, "batch_size": 4096}
    return _skactiveml(
        case, "TypiClust", "", cluster_algo=MiniBatchKMeans, cluster_algo_dict=how, k=20
    )


@rival("scikit-activeml", "probcover")
def _(case: Case) -> Call:
    """ProbCover(deltas=[delta]).query"""
    return _skactiveml(case, "ProbCover", "", deltas=[case.numbers["delta"]])


@rival("scikit-activeml", "max_herding")
def _(case: Case) -> Call:
    """MaxHerding(gamma).query"""
    how = {"gamma": case.numbers["gamma"]}
    return _skactiveml(case, "MaxHerding", "", normalize_samples=False, metric_dict=how)


@rival("scikit-activeml", "clue")
def _(case: Case) -> Call:
    """Clue().query"""
    return _skactiveml(case, "Clue", "estimator")


# ---------------------------------------------------------------------------- small-text


class _Answers:
    """What small-text asks of a classifier; its data set is an array of row numbers."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._passes = None
        if case.members is not None:
            self._passes = np.ascontiguousarray(case.members.transpose(1, 0, 2))

    def predict_proba(self, rows: Array, dropout_sampling: int = 1) -> Array:
        """Return probabilities, of each pass if there are several."""
        found: Array = self._case.probs[rows] if self._passes is None else self._passes[rows]
        return found

    def embed(self, rows: Array, return_proba: bool = False, pbar: Any = None) -> Any:
        """Return features, and probabilities if asked."""
        features = self._case.features[rows]
        return (features, self._case.probs[rows]) if return_proba else features


def _small_text(case: Case, strategy: Any, **options: Any) -> Call:
    rows, answers = np.arange(len(case.features)), _Answers(case)
    labels = case.labels[case.labelled]

    def call(run: int) -> Any:
        np.random.seed(case.seed + run)  # noqa: NPY002  the only seed that small-text takes
        return strategy.query(
            answers, rows, case.unlabelled, case.labelled, labels, n=case.k, **options
        )

    return call


@rival("small-text", "k_center")
def _(case: Case) -> Call:
    """greedy_coreset(euclidean, batch_size=4096)"""
    chosen = import_module("small_text").greedy_coreset
    order = np.concatenate([case.unlabelled, case.labelled])
    rows, free = case.features[order], np.arange(len(case.unlabelled))
    taken = np.arange(len(free), len(order))
    how = {"distance_metric": "euclidean", "batch_size": 4096}
    return lambda run: order[chosen(rows, free, taken, case.k, **how)]


@rival("small-text", "badge", "badge_1000")
def _(case: Case) -> Call:
    """BADGE().query"""
    module = import_module("small_text.integrations.pytorch.query_strategies.strategies")
    return _small_text(case, module.BADGE(case.probs.shape[1]), pbar=None)


@rival("small-text", "cal")
def _(case: Case) -> Call:
    """ContrastiveActiveLearning(k=10, batch_size=4096).query"""
    module = import_module("small_text")
    return _small_text(case, module.ContrastiveActiveLearning(k=10, batch_size=4096, pbar=None))


@rival("small-text", "entropy")
def _(case: Case) -> Call:
    """PredictionEntropy().query"""
    return _small_text(case, import_module("small_text").PredictionEntropy())


@rival("small-text", "margin")
def _(case: Case) -> Call:
    """BreakingTies().query"""
    return _small_text(case, import_module("small_text").BreakingTies())


@rival("small-text", "bald")
def _(case: Case) -> Call:
    """BALD().query"""
    assert case.members is not None
    strategy = import_module("small_text").BALD(dropout_samples=len(case.members))
    return _small_text(case, strategy)


@rival("small-text", "k_means")
def _(case: Case) -> Call:
    """EmbeddingKMeans(normalize=False).query"""
    strategy = import_module("small_text").EmbeddingKMeans(normalize=False)
    return _small_text(case, strategy, pbar=None)


# ---------------------------------------------------------------------------- modAL


class _Echo:
    """A classifier of modAL whose samples are their probabilities."""

    def predict_proba(self, rows: Array) -> Array:
        """Return the probabilities."""
        return rows


def _modal(case: Case, name: str) -> Call:
    query = getattr(import_module("modAL.uncertainty"), name)
    probs = case.probs[case.unlabelled]
    return lambda run: case.unlabelled[query(_Echo(), probs, n_instances=case.k)[0]]


@rival("modAL", "entropy")
def _(case: Case) -> Call:
    """entropy_sampling"""
    return _modal(case, "entropy_sampling")


@rival("modAL", "margin")
def _(case: Case) -> Call:
    """margin_sampling"""
    return _modal(case, "margin_sampling")


@rival("modAL", "information_density")
def _(case: Case) -> Call:
    """information_density, then top k"""
    density = import_module("modAL.density").information_density
    rows = case.features[case.unlabelled]
    return lambda run: case.unlabelled[np.argpartition(-density(rows), case.k)[: case.k]]


# ---------------------------------------------------------------------------- baal


def _baal(case: Case, name: str, predictions: Array, **options: Any) -> Call:
    heuristic = getattr(import_module("baal.active.heuristics"), name)(**options)

    def call(run: int) -> Any:
        torch.manual_seed(case.seed + run)
        ranked = heuristic(predictions)
        return case.unlabelled[np.asarray(ranked)[: case.k]]

    return call


def _iterations(case: Case) -> Array:
    """Return the members as baal has them, `[U, C, M]`."""
    return np.ascontiguousarray(case.candidates.transpose(1, 2, 0))


@rival("baal", "entropy")
def _(case: Case) -> Call:
    """Entropy()"""
    return _baal(case, "Entropy", case.probs[case.unlabelled])


@rival("baal", "margin")
def _(case: Case) -> Call:
    """Margin()"""
    return _baal(case, "Margin", case.probs[case.unlabelled])


@rival("baal", "bald")
def _(case: Case) -> Call:
    """BALD()"""
    return _baal(case, "BALD", _iterations(case))


@rival("baal", "batchbald")
def _(case: Case) -> Call:
    """BatchBALD(num_draw=configurations / members)"""
    assert case.members is not None
    draws = int(case.numbers["configurations"]) // len(case.members)
    return _baal(case, "BatchBALD", _iterations(case), num_samples=case.k, num_draw=draws)


# ---------------------------------------------------------------------------- neighbours


@rival("scikit-learn", "neighbors")
def _(case: Case) -> Call:
    """NearestNeighbors(algorithm="brute")"""
    rows, m = case.features, int(case.numbers["m"])

    def call(run: int) -> Any:
        # Without an argument, kneighbors leaves each row out of its own neighbours.
        search = NearestNeighbors(n_neighbors=m, algorithm="brute").fit(rows)
        return search.kneighbors(return_distance=False)

    return call


def _searched(case: Case, make: Callable[[int], Any]) -> Call:
    rows, m = case.features, int(case.numbers["m"])

    def call(run: int) -> Any:
        index = make(rows.shape[1])
        if not index.is_trained:
            index.train(rows)
        index.add(rows)
        found = index.search(rows, m + 1)[1]
        # Leave the row itself out; where duplicates crowded it out, the farthest one.
        itself = found == np.arange(len(rows))[:, None]
        itself[~itself.any(axis=1), -1] = True
        return found[~itself].reshape(-1, m)

    return call


@rival("faiss flat", "neighbors")
def _(case: Case) -> Call:
    """IndexFlatL2.search"""
    return _searched(case, faiss.IndexFlatL2)


@rival("faiss HNSW", "neighbors")
def _(case: Case) -> Call:
    """IndexHNSWFlat(16, efConstruction=40, efSearch=32)"""

    def make(width: int) -> Any:
        index = faiss.IndexHNSWFlat(width, 16)
        index.hnsw.efConstruction, index.hnsw.efSearch = 40, 32
        return index

    return _searched(case, make)


@rival("faiss IVF", "neighbors")
def _(case: Case) -> Call:
    """IndexIVFFlat(256 lists, nprobe=8)"""

    def make(width: int) -> Any:
        lists = min(256, max(1, len(case.features) // 40))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, lists)
        index.nprobe = 8
        return index

    return _searched(case, make)


def _ours(case: Case, index: str) -> Call:
    rows, m = torch.from_numpy(case.features), int(case.numbers["m"])
    search = NeighborSearch(index=index)

    def call(run: int) -> Any:
        return PoolNeighbors(rows, None, case.labelled, search)(m)[1].numpy()

    return call


@rival(f"{ACTIVELOOP} exact", "neighbors")
def _(case: Case) -> Call:
    """neighbors.index=exact"""
    return _ours(case, "exact")


@rival(f"{ACTIVELOOP} IVF", "neighbors")
def _(case: Case) -> Call:
    """neighbors.index=ivf"""
    return _ours(case, "ivf")


@rival(f"{ACTIVELOOP} HNSW", "neighbors")
def _(case: Case) -> Call:
    """neighbors.index=hnsw"""
    return _ours(case, "hnsw")


# ---------------------------------------------------------------------------- textbook loops


@rival(TEXTBOOK, "k_center")
def _(case: Case) -> Call:
    """every distance to each pick, in numpy"""

    def call(run: int) -> Array:
        rows, lengths = case.features, (case.features**2).sum(axis=1)
        chunks = range(0, len(rows), _CHUNK)
        taken = rows[case.labelled]
        near = np.concatenate([squared(rows[n : n + _CHUNK], taken).min(axis=1) for n in chunks])
        picks = []
        for _ in range(case.k):
            picks.append(int(near.argmax()))
            apart = lengths + lengths[picks[-1]] - 2 * rows @ rows[picks[-1]]
            np.minimum(near, apart, out=near)
        return np.array(picks)

    return call


@rival(TEXTBOOK, "badge", "badge_1000")
def _(case: Case) -> Call:
    """factorised k-means++ over all rows at each pick, in numpy"""

    def call(run: int) -> Array:
        rng = np.random.default_rng(case.seed + run)
        h, a = case.features[case.unlabelled], case.probs[case.unlabelled]
        a[np.arange(len(a)), a.argmax(axis=1)] -= 1
        lengths = (a**2).sum(axis=1) * (h**2).sum(axis=1)
        near, picks = lengths, [int(lengths.argmax())]
        for _ in range(case.k - 1):
            one = picks[-1]
            apart = lengths + lengths[one] - 2 * (a @ a[one]) * (h @ h[one])
            near = np.minimum(near, np.maximum(apart, 0)) if len(picks) > 1 else apart.clip(0)
            near[one] = 0
            steps = np.cumsum(near, dtype=np.float64)
            picks.append(int(np.searchsorted(steps, rng.random() * steps[-1], side="right")))
        return case.unlabelled[picks]

    return call


@rival(TEXTBOOK, "cal")
def _(case: Case) -> Call:
    """all distances to the labelled, top 10, in numpy"""

    def call(run: int) -> Array:
        scores = []
        rows, theirs = case.features[case.labelled], case.probs[case.labelled]
        logs = np.log(np.maximum(case.probs, 1e-12))
        negative = (theirs * logs[case.labelled]).sum(axis=1)
        width = min(10, len(rows) - 1)
        for start in range(0, len(case.unlabelled), _CHUNK):
            some = case.unlabelled[start : start + _CHUNK]
            near = np.argpartition(squared(case.features[some], rows), width, axis=1)[:, :width]
            cross = np.einsum("nkc,nc->nk", theirs[near], logs[some])
            scores.append((negative[near] - cross).mean(axis=1))
        return case.unlabelled[np.argpartition(-np.concatenate(scores), case.k)[: case.k]]

    return call


@rival(TEXTBOOK, "bald")
def _(case: Case) -> Call:
    """two entropies and a partition, in numpy"""
    members = case.candidates

    def call(run: int) -> Array:
        scores = entropies(members.mean(axis=0)) - entropies(members).mean(axis=0)
        return case.unlabelled[np.argpartition(-scores, case.k)[: case.k]]

    return call


@rival(TEXTBOOK, "batchbald")
def _(case: Case) -> Call:
    """sampled joint entropies by one product for 64 candidates at a time, in numpy"""
    members = case.candidates
    draws = int(case.numbers["configurations"])

    def call(run: int) -> Array:
        rng = np.random.default_rng(case.seed + run)
        member = rng.integers(len(members), size=draws)
        given, joint = entropies(members).mean(axis=0), np.ones((draws, len(members)), np.float32)
        picks: list[int] = []
        for _ in range(case.k):
            scores = _joint_entropies(members, joint) - given
            scores[picks] = -np.inf
            picks.append(int(scores.argmax()))
            p = members[:, picks[-1]]
            bounds = p.cumsum(axis=1)[member]
            label = (rng.random((draws, 1)) * bounds[:, -1:] > bounds).sum(axis=1)
            joint *= p[:, label.clip(max=p.shape[1] - 1)].T
        return case.unlabelled[picks]

    return call


def _joint_entropies(members: Array, joint: Array) -> Array:
    """Return each candidate's joint entropy with the configurations `joint` `[draws, M]`."""
    weights = 1 / joint.mean(axis=1)
    found = np.empty(members.shape[1])
    for start in range(0, members.shape[1], 64):
        part = members[:, start : start + 64]
        together = joint @ part.reshape(len(part), -1) / len(part)
        terms = weights @ (together * np.log(np.maximum(together, 1e-30))) / len(joint)
        found[start : start + 64] = -terms.reshape(-1, members.shape[2]).sum(axis=1)
    return found


@rival(TEXTBOOK, "probcover")
def _(case: Case) -> Call:
    """the whole ball graph by products in chunks, then greedy, in numpy"""

    def call(run: int) -> Array:
        rows, bound = case.features, case.numbers["delta"] ** 2
        balls: list[Array] = []
        for start in range(0, len(rows), _CHUNK):
            inside = squared(rows[start : start + _CHUNK], rows) <= bound
            balls += [np.flatnonzero(line).astype(np.int32) for line in inside]
        return _covering(balls, case)

    return call


def _covering(balls: list[Array], case: Case) -> Array:
    counts, covered = np.array([len(b) for b in balls]), np.zeros(len(balls), bool)
    picks: list[int] = []
    for one in [*case.labelled.tolist(), *[-1] * case.k]:
        if one < 0:
            counts[case.labelled] = counts[picks] = -1
            one = int(counts.argmax())
            picks.append(one)
        new = balls[one][~covered[balls[one]]]
        covered[new] = True
        for each in new:
            counts[balls[each]] -= 1
    return np.array(picks)


@rival(TEXTBOOK, "max_herding")
def _(case: Case) -> Call:
    """all gains once, by kernels in chunks, then again after each pick, in numpy"""

    def call(run: int) -> Array:
        rows, gamma = case.features, case.numbers["gamma"]
        free = case.unlabelled
        near = np.zeros(len(rows), np.float32)
        for start in range(0, len(rows), _CHUNK):
            some = slice(start, start + _CHUNK)
            near[some] = np.exp(-gamma * squared(rows[some], rows[case.labelled])).max(axis=1)
        picks: list[int] = []
        for _ in range(case.k):
            gains = [
                np.maximum(np.exp(-gamma * squared(rows[part], rows)) - near, 0).mean(axis=1)
                for part in np.split(free, range(_CHUNK, len(free), _CHUNK))
            ]
            picks.append(int(free[np.concatenate(gains).argmax()]))
            near = np.maximum(near, np.exp(-gamma * squared(rows[picks[-1:]], rows))[0])
        return np.array(picks)

    return call


@rival(TEXTBOOK, "k_means")
def _(case: Case) -> Call:
    """scikit-learn's MiniBatchKMeans, then the sample nearest to each centre"""

    def call(run: int) -> Array:
        rows = case.features[case.unlabelled]
        means = MiniBatchKMeans(case.k, n_init=1, batch_size=4096, random_state=case.seed + run)
        near = squared(means.fit(rows).cluster_centers_.astype(np.float32), rows)
        picks: list[int] = []
        for line in near:
            line[picks] = np.inf
            picks.append(int(line.argmin()))
        chosen: Array = case.unlabelled[picks]
        return chosen

    return call


# ---------------------------------------------------------------------------- floors


@rival(FLOOR, "k_center", "badge", "badge_1000")
def _(case: Case) -> Call:
    """one product of the features with a vector"""
    rows = torch.from_numpy(case.features)
    return lambda run: rows @ rows[0]


@rival(FLOOR, "neighbors", "probcover")
def _(case: Case) -> Call:
    """all products of rows, nothing done with them"""
    rows = torch.from_numpy(case.features)
    out = torch.empty(_CHUNK, len(rows))

    def call(run: int) -> None:
        for part in torch.split(rows, _CHUNK):
            torch.mm(part, rows.T, out=out[: len(part)])

    return call


@rival(FLOOR, "entropy", "margin")
def _(case: Case) -> Call:
    """one logarithm of each probability"""
    probs = torch.from_numpy(case.probs[case.unlabelled])
    out = torch.empty_like(probs)
    return lambda run: torch.log(probs, out=out)


@rival(FLOOR, "bald")
def _(case: Case) -> Call:
    """one logarithm of each probability of each member"""
    probs = torch.from_numpy(case.candidates)
    out = torch.empty_like(probs)
    return lambda run: torch.log(probs, out=out)


@rival(FLOOR, "batchbald")
def _(case: Case) -> Call:
    """the products of the last pick: configurations by members by candidates' classes"""
    members = torch.from_numpy(case.candidates).flatten(1)
    joint = torch.rand(int(case.numbers["configurations"]), len(members))
    out = torch.empty(len(joint), _CHUNK)

    def call(run: int) -> None:
        for part in torch.split(members, _CHUNK, dim=1):
            torch.mm(joint, part, out=out[:, : part.shape[1]])

    return call
