"""The parts that a composed config names, made and put together."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from activeloop import models, stopping, strategies
from activeloop.audit import Audit
from activeloop.checks import bytes_of, plain, whole
from activeloop.config import Config, cache_dir, without_storage
from activeloop.distributed import ALONE, Ranks
from activeloop.errors import ConfigError
from activeloop.flat_settings import flat
from activeloop.initial import Initial
from activeloop.learners.leading import LeadingLearner, shared
from activeloop.loading import Loaded, build_data, check_as_read, data_of_run, kept_of
from activeloop.loop import ActiveLoop
from activeloop.neighbors import NeighborSearch
from activeloop.schedule import Schedule
from activeloop.trackers import PoolImages, Tracking, checked
from activeloop.truth import check_truth
from activeloop.types import Data, HiddenLabels, NewSamples, Oracle, Samples, Tracker

# Settings of the machine, and who is told: with others, a run is still the same run.
_ELSEWHERE = ("device", "memory_limit", "seeds", "tracker")


def build(
    config: DictConfig,
    directory: Path,
    loaded: Callable[[DictConfig], Loaded] | None = None,
    ranks: Ranks = ALONE,
    about: Mapping[str, Any] | None = None,
    new_samples: NewSamples = "refuse",
) -> tuple[ActiveLoop, Oracle]:
    """Instantiate the parts that `config` names and put them together.

    Args:
        config: the composed config.
        directory: of the run.
        loaded: returns the data that a config names; None: `build_data`.
        ranks: the processes that share the run.
        about: what `about_of` returns, kept with a run that begins.
        new_samples: what to do with samples that came since the run began: "join" has them at the
            end of the pool, "ignore" leaves them out.

    Raises:
        ConfigError, DataError, LearnerError, StrategyError, StoreError: what is wrong with it.
    """
    check_complete(config)
    seed = whole("seed", config.seed)
    # First, so that what does not exist is found before the data is loaded.
    strategy = strategies.from_config(plain_config(config.strategy))
    rule = stopping.from_config(plain_config(config.stopping))
    tracker = build_tracker(config)
    check_sizes(config)
    memory_limit = bytes_of("memory_limit", config.memory_limit)
    neighbors = build_neighbors(config)
    learner = build_learner(config, ranks)
    kept = kept_of(directory)  # before the data: whether it may be used at all
    there = loaded(config) if loaded else shared_data(config, ranks)
    if kept is not None and ranks.size == 1:
        made = data_of_run(config, directory, kept, there, new_samples)
    else:
        made = there
        if kept is not None:
            check_as_read(directory, kept, there)
    data, hidden = made.data, made.hidden
    initial = _factory(config.initial, recursive=False)(data, hidden)
    check_labelled_fit(config, data, initial)
    oracle = build_oracle(config, data, hidden)  # before the run is: it may not be possible
    loop = ActiveLoop(
        data,
        LeadingLearner(learner, data, ranks) if ranks.size > 1 else learner,
        strategy,
        test_labels=hidden.test,
        initial=initial,
        query_size=plain_config(config.query_size),
        query_growth=config.query_growth,
        rounds=config.rounds,
        budget=config.budget,
        stopping=[rule],
        stop_set=config.stop_set,
        audit=config.audit,
        seed=seed,
        directory=directory,
        measures=config.measures,
        memory_limit=memory_limit,
        neighbors=neighbors,
        identity=identity_of(config),
        originals=made.originals,
        about=about,
    )
    try:
        check_truth(loop.files.store, hidden, directory)
    except BaseException:
        loop.files.close()
        raise
    if tracker is not None:
        # Of a pool in another order than it is read in, the images are held.
        original: Callable[[], Samples] = partial(original_pool, config, loaded or build_data)
        if made is not there:
            original = partial(getattr, made.originals, "pool")
        images = PoolImages(data.pool, None if data.embeddings is None else original)
        loop.listeners.append(Tracking(tracker, plain_config(config.tracker), images))
    return loop, oracle


def check_complete(config: DictConfig) -> None:
    """Raise `ConfigError` if a key is unknown, or has no value."""
    if unknown := sorted(set(map(str, config)) - {each.name for each in fields(Config)}):
        close = difflib.get_close_matches(unknown[0], [each.name for each in fields(Config)], 1)
        hint = f"did you mean {close[0]}?" if close else "see --help for the keys there are"
        raise ConfigError(f"there is no setting {unknown[0]!r}: {hint}")
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise ConfigError(f"{missing[0]} has no value: give one, as in {missing[0]}=VALUE")


def check_sizes(config: DictConfig) -> None:
    """Raise `ConfigError` if a size makes no sense, whatever the data."""
    initial = plain_config(config.initial) or {}
    ours = str(initial.get("_target_")).startswith("activeloop.")
    size = plain(initial.get("size")) if ours else None
    _schedule(config, 1 if size is None else size, sys.maxsize)
    whole("stop_set", config.stop_set)
    Audit(config.audit)


def check_labelled_fit(config: DictConfig, data: Data, initial: Initial) -> None:
    """Raise `DataError` before anything is trained if a round's labels will not be in memory."""
    if (check := getattr(data.pool, "check_fits", None)) is None:
        return
    if config.budget == "all":  # as far as people get
        return
    check(_schedule(config, initial.size, len(data.pool)).planned[-1])


def _schedule(config: DictConfig, initial: int, pool: int) -> Schedule:
    """Return the sizes of queries for a pool, and an initial set, of so many samples."""
    names = ("query_size", "query_growth", "rounds", "budget")
    return Schedule(initial, pool, *(plain(plain_config(config[name])) for name in names))


def shared_data(config: DictConfig, ranks: Ranks) -> Loaded:
    """Return what `build_data` does, the same on all ranks.

    Raises:
        ConfigError: other processes have other settings, or other data.
    """
    if ranks.size == 1:
        return build_data(config)
    ranks.check_same("settings", flat(identity_of(config)))
    with ranks.in_turn():
        loaded = build_data(config)
    data = loaded.data
    # Embeddings may differ in their last bits between kinds of machines.
    embedded = data.embeddings is not None
    ranks.check_same("data", {"pool": len(data.pool)} if embedded else data.fingerprints)
    return loaded


def build_learner(config: DictConfig, ranks: Ranks = ALONE) -> Any:
    """Return the learner; one whose constructor takes `model` gets that of the group `model`."""
    target = get_object(config.learner._target_)
    device = ranks.device(config.device)
    if "model" in inspect.signature(target).parameters:
        model = models.from_config(plain_config(config.model))
        return shared(_factory(config.learner)(model=model, device=device), ranks)
    return shared(_factory(config.learner)(device=device), ranks)


def build_neighbors(config: DictConfig) -> NeighborSearch:
    """Return how neighbours are searched, and where they are kept."""
    settings = plain_config(config.neighbors)
    cache = cache_dir() / "neighbors" if settings["cache"] == "auto" else settings["cache"]
    return NeighborSearch(**settings | {"cache": None if cache is None else Path(cache)})


def build_tracker(config: DictConfig) -> Tracker | None:
    """Return who is told of the run beside its files, if anyone is.

    Raises:
        ConfigError: it is no tracker, or needs a package that is not installed.
    """
    if config.tracker._target_ is None:
        return None
    tracker = instantiate(config.tracker, _convert_="all")
    return checked(tracker, config.tracker._target_)


def original_pool(config: DictConfig, load: Callable[[DictConfig], Loaded]) -> Samples:
    """Return the samples of the pool as they were before `embed` took their place."""
    plain = config.copy()
    plain.embed = {"_target_": "activeloop.embed.none"}
    return load(plain).data.pool


def build_oracle(config: DictConfig, data: Data, hidden: HiddenLabels) -> Oracle:
    """Return the oracle, which is given the pool's hidden labels."""
    oracle: Oracle = _factory(config.oracle)(
        hidden.pool, n_classes=data.n_classes, seed=config.seed
    )
    return oracle


def _factory(node: DictConfig, *, recursive: bool = True) -> Callable[..., Any]:
    """Return the target of `node` with its settings bound, nested targets built if `recursive`.

    Given to `instantiate` instead, arguments that are dataclasses would be turned into configs.
    """
    factory: Callable[..., Any] = instantiate(
        node, _partial_=True, _convert_="all", _recursive_=recursive
    )
    return factory


def plain_config(node: Any) -> Any:
    """Return a config node as plain Python, interpolations resolved."""
    if not isinstance(node, DictConfig | ListConfig):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True)
    except Exception as error:
        raise ConfigError(" ".join(str(error).split())) from error


def identity_of(config: DictConfig) -> dict[str, Any]:
    """Return what makes a run this run: all settings but those of the machine."""
    settings = plain_config(config)
    return without_storage({n: v for n, v in settings.items() if n not in _ELSEWHERE})
