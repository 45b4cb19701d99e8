import inspect
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from broken import BROKEN, ordered

from activeloop.errors import StrategyError
from activeloop.selection import random_states, select
from activeloop.strategies import CATALOG, load_strategy, locate, needs, score
from activeloop.strategies.base import ScoreStrategy
from activeloop.testing import (
    CHECKS,
    ConformanceError,
    Options,
    StrategyConformance,
    check_strategy,
    make_context,
)
from activeloop.testing.checks import BASIC, Skipped, Trial, _growth
from activeloop.testing.contexts import memory_mapped, permuted, unpredicted
from activeloop.testing.worker import WORKER, UnloadableError
from activeloop.types import NEEDS, Picks

# By a strategy's name: its own options, and what the suite should know of it.
MADE_WITH = {"epig": {"targets": 10}}  # 100 targets of 1,000 classes take a minute
OPTIONS = {
    "bait": {"many_classes": False},
    "batchbald": {"many_classes": False, "memory_extra": 300 * 2**20},
}
# `replay` takes its picks from a file of another run.
NOT_ALONE = {"replay"}


@pytest.mark.filterwarnings("error:.*cannot be called in another process")
@pytest.mark.parametrize("name", sorted(CATALOG.keys() - NOT_ALONE))
def test_every_strategy_conforms(name):
    check_strategy(load_strategy(name, **MADE_WITH.get(name, {})), **OPTIONS.get(name, {}))


def has_a_space(name):
    return "space" in inspect.signature(locate(CATALOG[name])).parameters


@pytest.mark.parametrize("name", sorted(filter(has_a_space, CATALOG)))
def test_every_strategy_conforms_in_embeddings(name):
    check_strategy(load_strategy(name, space="embeddings"), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("sampling", ["power", "softmax", "rank"])
def test_sampled_scores_conform(sampling):
    check_strategy(load_strategy("entropy", sampling=sampling))


def test_a_strategy_on_embeddings_conforms():
    check_strategy(load_strategy("cosine_diversity", space="embeddings"))


# ---------------------------------------------------------------------------- each check can fail


def failed(strategy, **options):
    """Return the message of each check that fails, all of them run."""
    messages = {}
    for name, check in CHECKS.items():
        try:
            check(Trial(strategy, Options(**options)))
        except Skipped:
            pass
        except AssertionError as error:
            messages[name] = str(error)
    return messages


@pytest.mark.filterwarnings("ignore:std:UserWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_strategy_fails_its_check_and_no_other(name):
    strategy, expected, says = BROKEN[name]
    if "cuda" in expected and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    with torch.random.fork_rng():
        torch.manual_seed(7)  # whatever the tests before left
        with pytest.raises(ConformanceError, match=rf"strategy {name} fails\n.*{says}") as caught:
            check_strategy(strategy)
    assert caught.value.failures.keys() == expected
    assert all(f"\n  {check} (" in str(caught.value) for check in expected)


def test_each_check_is_failed_alone_by_a_broken_strategy():
    assert {next(iter(checks)) for _, checks, _ in BROKEN.values() if len(checks) == 1} == {*CHECKS}


def test_what_is_not_broken_conforms():
    assert not failed(correct)


@needs("probs")
def correct(context):
    return ordered(context)


@pytest.mark.parametrize("name", ["advances_torch", "seeds_numpy", "seeds_random"])
def test_the_global_random_states_are_put_back(name):
    before = random_states()
    with pytest.raises(AssertionError, match="changed"):
        CHECKS["global_randomness"](Trial(BROKEN[name][0]))
    assert random_states() == before


def test_where_the_basics_fail_the_rest_is_not_run():
    with pytest.raises(ConformanceError) as caught:
        check_strategy(BROKEN["positions"][0])
    assert caught.value.failures.keys() <= set(BASIC)


def test_the_error_shows_where_the_strategy_raised_and_can_be_pickled():
    with pytest.raises(ConformanceError) as caught:
        check_strategy(BROKEN["third_class"][0])
    assert isinstance(caught.value.__cause__.__cause__, RuntimeError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.failures) == (str(caught.value), caught.value.failures)


# ---------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("distance_to_the_labelled", {"needs_labels": True}),
        ("table_of_256", {"many_classes": False}),
        ("by_position", {"by_position": True}),
        ("all_pairs", {"memory_extra": 500 * 2**20}),
        ("all_pairs", {"memory_factor": 100.0}),
    ],
)
def test_an_option_leaves_out_or_eases_a_check(name, options):
    strategy, checks, _ = BROKEN[name]
    skipped = check_strategy(strategy, **options)
    assert "peak_memory" in checks or skipped.keys() - {"cuda"} == checks


@needs("probs")
def ties_by_position(context):
    classes = context.probs[context.unlabelled].argmax(dim=1).numpy()
    order = classes.argsort(kind="stable")[: context.k]
    return Picks(context.unlabelled[order], classes[order])


def test_other_picks_with_the_same_scores_are_ties():
    check_strategy(ties_by_position)


def test_slow_draws_are_skipped_by_patience():
    skipped = check_strategy(load_strategy("random"), patience=0)
    assert "patience" in skipped["pool_order"]


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="many_class"):
        check_strategy(load_strategy("random"), many_class=False)


# ---------------------------------------------------------------------------- another process


def test_what_cannot_be_pickled_skips_with_a_warning():
    with pytest.warns(UserWarning, match="cannot be called in another process") as warned:
        skipped = check_strategy(
            lambda context: context.rng.permutation(context.unlabelled)[: context.k]
        )
    assert skipped.keys() - {"cuda"} == {"another_process", "peak_memory"}
    assert len(warned) == 2


def test_the_other_process_is_kept_hashes_otherwise_and_is_replaced_when_it_dies():
    first = WORKER.call(sys.getrefcount, 1) and WORKER._process.pid
    assert WORKER.call(hash, "a") != hash("a")
    assert WORKER._process.pid == first
    with pytest.raises(UnloadableError, match="no_such_module"):
        WORKER.call(Unloadable())
    assert WORKER._process.pid == first
    with pytest.raises(ConformanceError, match="exit code 3"):
        check_strategy(BROKEN["dies_elsewhere"][0])
    WORKER.call(len, ())
    assert WORKER._process.pid != first


def test_an_interrupted_call_does_not_leave_its_reply_to_the_next(monkeypatch):
    def interrupted(file):
        raise KeyboardInterrupt

    WORKER.call(len, ())
    with monkeypatch.context() as patch:
        patch.setattr(pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            WORKER.call(len, (1, 2))
    assert WORKER.call(len, (1, 2, 3)) == 3


@needs("probs")
def in_small_pieces(context):
    if len(context.probs) > 1000:
        [torch.ones(2**16) for _ in range(400)]  # 100 MiB
    return ordered(context)


@pytest.mark.parametrize(
    ("strategy", "least"),
    [(in_small_pieces, 95), (load_strategy("l2_diversity"), 10)],
    ids=["in_small_pieces", "l2_diversity"],
)
def test_memory_that_was_used_before_counts_again(strategy, least):
    grown = [WORKER.call(_growth, Trial(strategy)) / 2**20 for _ in range(2)]
    assert least < min(grown)
    assert max(grown) < least + 75


class Unloadable:
    def __reduce__(self):
        return __import__, ("no_such_module",)


def test_a_strategy_may_print():
    check_strategy(prints)


def prints(context):
    print("picking", flush=True)
    return context.rng.permutation(context.unlabelled)[: context.k]


def test_a_script_may_check_its_own_strategy(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "from activeloop.testing import check_strategy\n"
        "def mine(context):\n"
        "    return context.rng.permutation(context.unlabelled)[: context.k]\n"
        "print(sorted(check_strategy(mine)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert "'another_process'" in done.stdout
    assert done.stderr.count("UserWarning: strategy mine cannot be called in another process") == 2
    assert "Traceback" not in done.stderr


@score
@needs("probs")
def module_level(context, weight=1.0):
    return weight * context.probs[context.unlabelled, 0]


def plain_scores(context):
    return context.probs[context.unlabelled, 0]


@pytest.mark.parametrize(
    "strategy", [load_strategy("margin"), module_level, score(plain_scores)], ids=str
)
def test_score_strategies_can_be_pickled(strategy):
    copy = pickle.loads(pickle.dumps(strategy))
    assert isinstance(copy, ScoreStrategy)
    assert select(copy, make_context())[0].tolist() == select(strategy, make_context())[0].tolist()
    assert pickle.loads(pickle.dumps(partial(strategy, beta=2.0))).keywords == {"beta": 2.0}


def test_a_score_strategy_without_a_global_name_is_not_pickled_as_another():
    hidden = score(lambda context: context.probs[:, 0])
    hidden.__qualname__ = "module_level"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(hidden)


# ---------------------------------------------------------------------------- candidates


@needs("probs")
class Some:
    """Asks for every third sample to be predicted, and looks at no other."""

    def __init__(self, wrong=0):
        self.wrong = wrong

    def candidates(self, context):
        assert context.probs is None
        return context.unlabelled[:: -(-len(context.unlabelled) // max(context.k, 20))] - self.wrong

    def __call__(self, context):
        assert len(context.unlabelled) <= max(context.k, 20)
        seen = context.probs.isfinite().all(dim=1).numpy().nonzero()[0]
        assert set(seen) == {*context.unlabelled.tolist(), *context.labelled.tolist()}
        return ordered(context)


def test_candidates_are_asked_first_and_checked():
    check_strategy(Some(), by_position=True)
    with pytest.raises(ConformanceError, match=r"Some.candidates returned index"):
        check_strategy(Some(wrong=1))


# ---------------------------------------------------------------------------- for pytest


class TestMargin(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return load_strategy("margin")


class TestFirst(StrategyConformance):
    options = {"by_position": True}  # noqa: RUF012  # as an author would write it

    @pytest.fixture
    def strategy(self):
        return BROKEN["by_position"][0]


def test_the_class_has_a_test_for_each_check_that_names_it():
    tests = {name for name in dir(StrategyConformance) if name.startswith("test_")}
    assert tests == {f"test_{check}" for check in CHECKS}
    with pytest.raises(ConformanceError, match=r"positions fails\n  valid_picks \(Picks are exa"):
        TestMargin().test_valid_picks(BROKEN["positions"][0])
    with pytest.raises(pytest.skip.Exception, match="by_position"):
        TestFirst().test_pool_order(BROKEN["by_position"][0])


def test_pytest_is_needed_by_the_class_only():
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from activeloop.testing import StrategyConformance, make_context\n"
        "make_context()\n"
        "try:\n"
        "    class TestMine(StrategyConformance): pass\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "StrategyConformance needs pytest: pip install pytest"


# ---------------------------------------------------------------------------- made-up contexts


@pytest.mark.parametrize("sharpness", [1.0, 30, 1e4])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_probabilities_are_the_softmax_of_the_head(scale, sharpness):
    context = make_context(scale=scale, sharpness=sharpness)
    probs = context.head(context.features).softmax(dim=1)
    assert torch.equal(probs, context.probs)
    assert 0.3 < context.features.std() / scale < 3
    certain = ((probs == 0) | (probs == 1)).float().mean().item()
    assert certain == (
        1.0 if sharpness > 100 else pytest.approx(0.5, abs=0.3) if sharpness > 1 else 0
    )


def test_the_parts_of_a_context_fit_together():
    context = make_context(50, k=3, classes=6, dimensions=7, members=4, labelled=9, seed=2)
    assert context.probs.shape == (50, 6)
    assert context.features.shape == (50, 7)
    assert context.members.shape == (4, 50, 6)
    assert context.members.sum(dim=2).allclose(torch.ones(4, 50))
    assert (context.members.mean(dim=0) - context.probs).abs().mean() < 0.1
    assert not context.members[0].allclose(context.members[1], atol=0.01)
    assert context.embeddings.shape == (50, 6)
    assert context.neighbors(3)[1].shape == (50, 3)
    assert context.neighbors(3, space="embeddings")[1].shape == (50, 3)
    assert len(context.labelled) == len(context.labels) == 9
    assert set(context.labels) <= set(range(6))
    assert context.rng.random() == np.random.default_rng(2).random()
    assert (context.probs.argmax(dim=1)[context.labelled].numpy() == context.labels).mean() > 0.5
    assert context.probs.max(dim=1).values.median() < 0.99


def test_positions_are_no_indices():
    context = make_context()
    assert context.labelled[0] == 0
    assert (np.diff(context.labelled) >= 1).all()
    assert (np.diff(context.unlabelled) > 1).any()
    assert not np.intersect1d(context.labelled, context.unlabelled).size
    assert len(context.labelled) + len(context.unlabelled) < 80


@pytest.mark.parametrize("labelled", range(11))
def test_any_number_of_samples_may_be_labelled(labelled):
    context = make_context(10, k=0, labelled=labelled)
    assert len(set(context.labelled.tolist())) == labelled
    assert (np.diff(context.labelled) > 0).all()
    assert set(context.labelled) <= set(range(10))
    assert labelled == 10 or len(context.unlabelled)


def test_the_same_seed_makes_the_same_pool_and_another_another():
    assert torch.equal(make_context().probs, make_context().probs)
    assert not torch.equal(make_context().probs, make_context(data_seed=1).probs)


def test_only_what_is_asked_for_is_there():
    context = make_context(needs=["probs", "neighbors"])
    assert {name for name in NEEDS if getattr(context, name) is not None} == {"probs", "neighbors"}


def test_neighbours_are_those_of_what_is_declared():
    with pytest.raises(StrategyError, match="no embeddings"):
        make_context(needs=["features", "neighbors"]).neighbors(3, space="embeddings")
    only_embeddings = make_context(needs=["embeddings", "neighbors"])
    only_embeddings.neighbors(3, space="embeddings")
    with pytest.raises(StrategyError, match="no features"):
        only_embeddings.neighbors(3)


def test_a_permuted_context_holds_the_same_samples():
    context, order = make_context(), np.random.default_rng(0).permutation(80)
    moved = permuted(context, order)
    assert sorted(order[moved.labelled]) == context.labelled.tolist()
    label_of = dict(zip(context.labelled, context.labels, strict=True))
    assert [label_of[i] for i in order[moved.labelled]] == moved.labels.tolist()
    assert torch.equal(moved.probs, context.probs[order])
    assert torch.equal(moved.members, context.members[:, order])
    assert (np.diff(moved.labelled) > 0).all()
    assert (np.diff(moved.unlabelled) > 0).all()


def test_unpredicted_rows_are_nan_and_nobodys_neighbours():
    context = unpredicted(make_context())
    rows = context.features.isnan().any(dim=1).numpy().nonzero()[0]
    neither = np.setdiff1d(np.arange(80), np.union1d(context.labelled, context.unlabelled))
    assert rows.tolist() == neither.tolist() != []
    assert context.members[:, rows].isnan().all()
    assert not np.isin(context.neighbors(5)[1][context.unlabelled], rows).any()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_mapped_contexts_are_mapped_and_cannot_be_written_through(tmp_path):
    plain = make_context()
    mapped = memory_mapped(plain, tmp_path)
    maps = Path("/proc/self/maps").read_text()
    assert all(f"{tmp_path}/{name}.npy" in maps for name in ("probs", "features", "members"))
    mapped.probs.zero_()
    assert np.array_equal(np.load(tmp_path / "probs.npy"), plain.probs.numpy())
