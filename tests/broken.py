"""Strategies, each with one mistake, and the checks of the conformance suite that it must fail."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from activeloop.strategies import needs, score
from activeloop.types import Picks

# name -> strategy, the checks that it fails, and what the failure of the first of them says
BROKEN: dict[str, tuple[Callable[..., Any], set[str], str]] = {}


def fails(*checks, says):
    def register(strategy):
        BROKEN[strategy.__name__] = strategy, set(checks), says
        return strategy

    return register


def ordered(context):
    """Return what is not wrong: picks that go by the probabilities."""
    scores = context.probs[context.unlabelled, 0].cpu().numpy()
    return context.unlabelled[(-scores).argsort()[: context.k]]


# ---------------------------------------------------------------------------- what is returned


@fails(
    "declared_needs", says=r"raises without context.probs: declare @needs\('features', 'probs'\)"
)
@needs("features")
def undeclared(context):
    context.features.sum()
    return ordered(context)


@fails("valid_picks", says="not positions in it")
@needs("probs")
def positions(context):
    return (-context.probs[context.unlabelled, 0]).argsort()[: context.k]


@fails("valid_picks", says="returned 0 indices, expected k = 3")
@needs("probs")
def positions_that_could_be_indices(context):
    order = (-context.probs[context.unlabelled, 0]).argsort()
    return [position for position in order.tolist() if position in context.unlabelled][: context.k]


@fails("valid_picks", says="type float64, expected whole numbers")
@needs("probs")
def floats(context):
    return ordered(context).astype(float)


@fails("valid_picks", says="type bool, expected whole numbers")
@needs("probs")
def mask(context):
    return np.isin(context.unlabelled, ordered(context))


@fails("valid_picks", says="more than once")
@needs("probs")
def twice(context):
    return [ordered(context)[0]] * context.k


@fails("valid_picks", says="returned 2 indices, expected k = 3")
@needs("probs")
def one_short(context):
    return ordered(context)[1:]


@fails("valid_picks", says="labelled already")
@needs("probs")
def labelled_too(context):
    return np.concatenate([context.labelled[:1], ordered(context)])[: context.k]


@fails("valid_scores", says=r"scores of shape \(4,\), expected \(5,\)")
@needs("probs")
def one_score_short(context):
    picks = ordered(context)
    return Picks(picks, context.probs[picks[1:], 0])


@fails("valid_scores", says="a score that is NaN")
@needs("probs")
def no_number(context):
    return Picks(ordered(context), [float("nan")] * context.k)


# ---------------------------------------------------------------------------- chance, side effects


@fails("deterministic", says="expected the same picks at both calls with seed 0")
@needs("probs")
def unseeded(context):
    return np.random.default_rng().permutation(context.unlabelled)[: context.k]


@fails("deterministic", says="expected the same picks at both calls")
@needs("probs")
def remembers(context):
    remembers.calls = getattr(remembers, "calls", 0) + 1
    return np.roll(ordered(context), remembers.calls)


@fails("another_process", says="expected the same picks in another process")
@needs("probs")
def by_hash(context):
    keys = [str(row) for row in context.probs[context.unlabelled].tolist()]
    order = sorted(range(len(keys)), key=lambda i: hash(keys[i]))
    return context.unlabelled[order[: context.k]]


def elsewhere():
    """Whether this is the process that the suite starts, and not one that runs tests."""
    return sys.argv[0] == "-c" and "execnet" not in sys.modules


@fails("another_process", "peak_memory", says="there: expected picks, got ValueError: not here")
@needs("probs")
def raises_elsewhere(context):
    if elsewhere():
        raise ValueError("not here")
    return ordered(context)


@fails("another_process", "peak_memory", says="it ended with exit code 3")
@needs("probs")
def dies_elsewhere(context):
    if elsewhere():
        os._exit(3)
    return ordered(context)


@fails("global_randomness", "pool_order", says="the global state of numpy.random changed")
@needs("probs")
def seeds_numpy(context):
    np.random.seed(0)  # noqa: NPY002  # it is the mistake
    return np.random.permutation(context.unlabelled)[: context.k]  # noqa: NPY002


@fails("global_randomness", "pool_order", says="the global state of random changed")
@needs("probs")
def seeds_random(context):
    random.seed(0)
    return random.sample(context.unlabelled.tolist(), context.k)


@fails("global_randomness", says="the global state of torch changed")
@needs("probs")
def advances_torch(context):
    torch.rand(1)
    return ordered(context)


@fails("global_randomness", says="expected the same picks whatever the global random state")
@needs("probs")
def reads_torch_seed(context):
    return np.roll(ordered(context), int(torch.initial_seed() == 1))  # one of the suite's seeds


@fails("context_unchanged", says="context.probs was changed")
@needs("probs")
def in_place(context):
    picks = ordered(context)
    context.probs.clamp_(min=0.1)
    return picks


@fails("context_unchanged", says="context.probs was changed")
@needs("probs")
def through_numpy(context):
    picks = ordered(context)
    context.probs.numpy()[-1, -1] = 0
    return picks


@fails("context_unchanged", says="context.labelled was changed")
@needs("probs")
def label_array(context):
    context.labelled[:] = context.labelled[::-1].copy()
    return ordered(context)


@fails("context_unchanged", says="context.features was changed")
@needs("probs", "features")
def asks_for_gradients(context):
    context.features.requires_grad_()
    return ordered(context)


@fails("pool_order", says="expected the same picks of a permuted pool")
def by_position(context):
    return context.unlabelled[: context.k]


@fails("pool_order", says="expected the same picks of a permuted pool")
@needs("probs")
def by_position_with_scores(context):
    picks = context.unlabelled[: context.k]
    return Picks(picks, context.probs[picks, 0])


@fails("pool_order", says="expected samples to be drawn as often")
def draws_from_the_front(context):
    front = max(context.k, len(context.unlabelled) // 2)
    return context.rng.choice(context.unlabelled[:front], context.k, replace=False)


# ---------------------------------------------------------------------------- how many


@fails("one_pick", says="got TypeError: iteration over a 0-d tensor")
@needs("probs")
def squeezes(context):
    picks = torch.from_numpy(ordered(context))
    return [int(index) for index in (picks.squeeze() if len(context.unlabelled) > 1 else picks)]


@fails("all_picks", says="expected k = 60")
@needs("probs")
def keeps_the_better_half(context):
    return ordered(context)[: (len(context.unlabelled) + 1) // 2]


@fails("all_picks", "one_left", says="got ValueError: kth")
@needs("probs")
def needs_one_more(context):
    scores = context.probs[context.unlabelled, 0].numpy()
    return context.unlabelled[np.argpartition(scores, context.k)[: context.k]]


@fails("one_left", says="NaN for sample 17")
@score
@needs("probs")
def standardises(context):
    scores = context.probs[context.unlabelled, 0]
    return scores / scores.std()


@fails("one_labelled_class", says="got IndexError")
@needs("probs")
def wants_another_class(context):
    if len(context.labelled) > 1:
        context.labels[context.labels != context.labels[0]][0]
    return ordered(context)


@fails("one_labelled_sample", says="NaN for sample")
@score
@needs("features")
def spread_of_the_labelled(context):
    features = context.features[context.unlabelled].sum(dim=1)
    labelled = context.features[context.labelled]
    return features + labelled.std(dim=0).sum() if len(labelled) else features


@fails("no_labelled_sample", says="got IndexError: amin")
@score
@needs("features")
def distance_to_the_labelled(context):
    labelled = context.features[context.labelled]
    return torch.cdist(context.features[context.unlabelled], labelled).amin(dim=1)


@fails("two_classes", says="got RuntimeError: selected index k out of range")
@score
@needs("probs")
def third_class(context):
    return context.probs[context.unlabelled].topk(3).values[:, 2]


@fails("thousand_classes", says="got IndexError")
@score
@needs("probs")
def table_of_256(context):
    table = torch.linspace(0, 0.001, 256)
    probs = context.probs[context.unlabelled]
    return probs[:, 0] + table[probs.argmax(dim=1)]


# ---------------------------------------------------------------------------- what values


@fails("duplicates", says="expected k = 12")
@needs("features")
def drops_copies(context):
    features = context.features[context.unlabelled].numpy()
    if (features == features[0]).all():
        return context.rng.choice(context.unlabelled, context.k, replace=False)
    _, first = np.unique(features, axis=0, return_index=True)
    return context.unlabelled[first[: context.k]]


@fails("duplicates", "constant_features", says="more than once")
@needs("features")
def farthest_first(context):
    features = context.features[context.unlabelled]
    picks = [int(features.norm(dim=1).argmax())]
    while len(picks) < context.k:
        picks.append(int(torch.cdist(features, features[picks]).amin(dim=1).argmax()))
    return context.unlabelled[picks]


@fails("constant_features", says="scores must be numbers, got NaN")
@score
@needs("features")
def whitens(context):
    known = context.features[np.union1d(context.labelled, context.unlabelled)]
    centred = context.features[context.unlabelled] - known.mean(dim=0)
    return (centred / known.std(dim=0)).sum(dim=1)


@fails("certain_probs", says="scores must be numbers, got NaN")
@score
@needs("probs")
def naive_entropy(context):
    probs = context.probs[context.unlabelled]
    return -(probs * probs.log()).sum(dim=1)


@fails("float64", says="got RuntimeError")
@score
@needs("features")
def float32_only(context):
    features = context.features[context.unlabelled]
    return features @ torch.ones(features.shape[1])


@fails("large_features", says="scores must be numbers, got NaN")
@score
@needs("features")
def kernel_of_width_one(context):
    kernel = torch.exp(-(context.features[context.unlabelled] ** 2).sum(dim=1))
    return kernel / kernel.sum()


@fails("tiny_features", says="scores must be numbers, got NaN")
@score
@needs("features")
def half_precision(context):
    energy = (context.features[context.unlabelled] ** 4).sum(dim=1)
    if not energy.any():
        return energy
    rounded = energy.half().to(energy.dtype).clamp(max=1000)
    return rounded / rounded.max()


@fails("mapped_memory", says="not resizable")
@needs("probs")
def grows_storage(context):
    storage = context.probs.untyped_storage()
    storage.resize_(storage.nbytes() + 64)
    return ordered(context)


@fails("mapped_memory", says="expected the same picks from memory-mapped files")
@needs("probs")
def by_storage(context):
    return ordered(context)[:: 1 if context.probs.untyped_storage().resizable() else -1]


@fails("unpredicted_rows", says="scores must be numbers, got NaN")
@score
@needs("features")
def centres_on_the_pool(context):
    return (context.features - context.features.mean(dim=0))[context.unlabelled].sum(dim=1)


@fails("cuda", says="can't convert cuda")
@needs("probs")
def cpu_only(context):
    scores = context.probs.numpy()[context.unlabelled, 0]
    return context.unlabelled[(-scores).argsort(kind="stable")[: context.k]]


@fails(
    "peak_memory", says=r"expected at most 74 MiB beside 20000 x 64 features \(4.9 MiB\), got 38"
)
@needs("probs")
def all_pairs(context):
    scores = context.probs[:, 0]
    torch.zeros(len(scores), len(scores), dtype=torch.bool).fill_(True)
    return ordered(context)
