"""From a composed config to a finished run: make the parts, run the loop, leave the files."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from activeloop import models, stopping, strategies, torchrun
from activeloop.checks import bytes_of, whole
from activeloop.config import Config, cache_dir, strategy_name, variant, without_storage
from activeloop.distributed import ALONE, Ranks, joined
from activeloop.environment import write_environment
from activeloop.errors import ConfigError, StoreError
from activeloop.finished import finished
from activeloop.initial import Initial
from activeloop.learners.leading import LeadingLearner, dismiss_helpers, help_leader, shared
from activeloop.loop import ActiveLoop
from activeloop.messages import ERROR_FILE, one_line
from activeloop.neighbors import NeighborSearch
from activeloop.progress import Progress, result_table
from activeloop.report.curves import draw_curve
from activeloop.run_files import flat, named_errors, replacing, shown
from activeloop.schedule import Schedule
from activeloop.store import Store
from activeloop.sweep import check_swept
from activeloop.trackers import PoolImages, Tracking, checked, tracking_of
from activeloop.types import Data, HiddenLabels, Oracle, Round, Samples, Tracker

log = logging.getLogger(__name__)

# Settings of the machine, and who is told: with others, a run is still the same run.
_ELSEWHERE = ("device", "memory_limit", "seeds", "tracker")


def run_config(config: DictConfig) -> None:
    """Run what `config` says, in Hydra's output directory; or help the process that does."""
    hydra = HydraConfig.get()
    check_swept(hydra)
    if torchrun.place().rank > 0:
        help_run(config)
        return
    directory, labels = Path(hydra.runtime.output_dir), labels_of(config, hydra)
    try:
        if torchrun.place().size == 1 and is_finished(directory, config):
            leave_alone(directory, labels)
        else:
            run_in(directory, config, labels)
    except Exception as error:
        write_error(directory, error)
        if hydra.mode == RunMode.MULTIRUN:
            print(f"error: {one_line(error)}", file=sys.stderr)
        raise
    (directory / ERROR_FILE).unlink(missing_ok=True)


def write_error(directory: Path, error: Exception) -> None:
    """Leave what went wrong in the run's directory."""
    if isinstance(error, StoreError):
        return  # a directory that was refused is another run's
    path = directory / ERROR_FILE
    try:
        trace = "".join(traceback.format_exception(error))
        directory.mkdir(parents=True, exist_ok=True)  # it may have failed before it had one
        path.write_text(f"{one_line(error)}\n\n{trace}", "utf-8")
    except OSError:
        log.warning("cannot write %s", path)


def run_in(directory: Path, config: DictConfig, labels: Mapping[str, Any]) -> None:
    """Run `config` in `directory`, or go on with the run that is there; `labels` name it."""
    with joined(torchrun.place(), config.device) as ranks:
        loop, oracle = build(config, directory, ranks=ranks)
        try:
            if begin(loop, directory, config, labels):
                with Progress(loop.schedule.planned, loop.rounds) as progress:
                    loop.listeners.append(progress)
                    loop.run(oracle)
                result_table(loop.rounds)
                end(loop, directory, labels)
        finally:
            close(loop)
        dismiss_helpers(ranks)


def help_run(config: DictConfig) -> None:
    """Do this process's share of the run that rank 0 makes of the same `config`."""
    with joined(torchrun.place(), config.device) as ranks:
        data, _ = shared_data(config, ranks)
        help_leader(build_learner(config, ranks), data, ranks)


def is_finished(directory: Path, config: DictConfig) -> bool:
    """Return whether the run of `config` in `directory` is over: in milliseconds, without its data.

    One that is to be told to a tracker is not over for that.

    Raises:
        ConfigError: the settings have no meaning.
    """
    if not (directory / "run.db").exists():
        return False
    check_complete(config)
    return config.tracker._target_ is None and finished(directory, _identity(config))


def leave_alone(directory: Path, labels: Mapping[str, Any]) -> None:
    """Say that the run in `directory` is over, and draw its curve if that is not there."""
    with contextlib.closing(Store(directory / "run.db")) as store:
        _nothing_to_do(directory, store.meta("ended"), store.rounds(), labels)


def _nothing_to_do(
    directory: Path, ended: str, rounds: Sequence[Round], labels: Mapping[str, Any]
) -> None:
    print(f"{shown(directory)} holds this run, finished already ({ended}): nothing to do")
    (directory / ERROR_FILE).unlink(missing_ok=True)
    if not (directory / "curve.png").exists():
        draw_curve(rounds, directory / "curve.png", title=_title(labels))


def begin(loop: ActiveLoop, directory: Path, config: DictConfig, labels: Mapping[str, Any]) -> bool:
    """Leave the files that explain the run; False: it is finished already."""
    if loop.ended is not None:
        _nothing_to_do(directory, loop.ended, loop.rounds, labels)
        track(loop, directory, config, labels)
        return False
    if not loop.rounds:
        with named_errors(directory), replacing(directory / "config.yaml") as temporary:
            temporary.write_text(OmegaConf.to_yaml(config), "utf-8")
        loop.files.store.set_meta("run", dict(labels))
    else:
        print(f"going on with {shown(directory)} after round {loop.rounds[-1].round}")
    write_environment(directory, str(loop.learner.device), loop.files.store)
    track(loop, directory, config, labels)
    return True


def end(loop: ActiveLoop, directory: Path, labels: Mapping[str, Any]) -> None:
    """Draw the curve of a run that is over, and say where its files are."""
    draw_curve(loop.rounds, directory / "curve.png", title=_title(labels))
    for tracking in tracking_of(loop):
        tracking.end(str(loop.ended))
    print(f"{loop.ended}; files in {shown(directory)}")


def close(loop: ActiveLoop) -> None:
    """Let go of a run's files, and of who was told of it."""
    for tracking in tracking_of(loop):
        tracking.close()
    loop.files.close()


def track(loop: ActiveLoop, directory: Path, config: DictConfig, labels: Mapping[str, Any]) -> None:
    """Tell the run's tracker, if it has one, which run this is and what was done before."""
    hydra = HydraConfig.get()
    home = hydra.sweep.dir if hydra.mode == RunMode.MULTIRUN else hydra.runtime.output_dir
    for tracking in tracking_of(loop):
        tracking.begin(
            loop,
            directory=directory,
            home=Path(home).absolute(),
            config=_plain(config),
            labels=labels,
        )


def build(
    config: DictConfig,
    directory: Path,
    loaded: Callable[[DictConfig], tuple[Data, HiddenLabels]] | None = None,
    ranks: Ranks = ALONE,
) -> tuple[ActiveLoop, Oracle]:
    """Instantiate the parts that `config` names and put them together.

    Args:
        config: the composed config.
        directory: of the run.
        loaded: returns the data that a config names; None: `build_data`.
        ranks: the processes that share the run.

    Raises:
        ConfigError, DataError, LearnerError, StrategyError, StoreError: what is wrong with it.
    """
    check_complete(config)
    seed = whole("seed", config.seed)
    # First, so that what does not exist is found before the data is loaded.
    strategy = strategies.from_config(_plain(config.strategy))
    rule = stopping.from_config(_plain(config.stopping))
    tracker = build_tracker(config)
    data, hidden = loaded(config) if loaded else shared_data(config, ranks)
    initial = _factory(config.initial, recursive=False)(data, hidden)
    check_labelled_fit(config, data, initial)
    learner = build_learner(config, ranks)
    loop = ActiveLoop(
        data,
        LeadingLearner(learner, data, ranks) if ranks.size > 1 else learner,
        strategy,
        test_labels=hidden.test,
        initial=initial,
        query_size=_plain(config.query_size),
        query_growth=config.query_growth,
        rounds=config.rounds,
        budget=config.budget,
        stopping=[rule],
        stop_set=config.stop_set,
        audit=config.audit,
        seed=seed,
        directory=directory,
        measures=config.measures,
        memory_limit=bytes_of("memory_limit", config.memory_limit),
        neighbors=build_neighbors(config),
        identity=_identity(config),
    )
    if tracker is not None:
        original = partial(original_pool, config, loaded or build_data)
        images = PoolImages(data.pool, None if data.embeddings is None else original)
        loop.listeners.append(Tracking(tracker, _plain(config.tracker), images))
    return loop, build_oracle(config, data, hidden)


def check_complete(config: DictConfig) -> None:
    """Raise `ConfigError` if a key is unknown, or has no value."""
    if unknown := sorted(set(map(str, config)) - {each.name for each in fields(Config)}):
        close = difflib.get_close_matches(unknown[0], [each.name for each in fields(Config)], 1)
        hint = f"did you mean {close[0]}?" if close else "see --help for the keys there are"
        raise ConfigError(f"there is no setting {unknown[0]!r}: {hint}")
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise ConfigError(f"{missing[0]} has no value: give one, as in {missing[0]}=VALUE")


def build_data(config: DictConfig) -> tuple[Data, HiddenLabels]:
    """Return the data set with its embeddings, and the hidden labels.

    A data set that takes a `memory_limit` gets the run's if it has none.
    """
    own: dict[str, Any] = {}
    if "memory_limit" in config.data and config.data.memory_limit is None:
        own["memory_limit"] = config.memory_limit
    data, hidden = instantiate(config.data, _convert_="all", **own)
    parameters = inspect.signature(get_object(config.embed._target_)).parameters
    given: dict[str, Any] = {"device": config.device} if "device" in parameters else {}
    if config.embed.get("cache") == "auto":
        given["cache"] = cache_dir() / "embeddings"
    return _factory(config.embed)(data, **given), hidden


def check_labelled_fit(config: DictConfig, data: Data, initial: Initial) -> None:
    """Raise `DataError` before anything is trained if a round's labels will not be in memory."""
    if (check := getattr(data.pool, "check_fits", None)) is None:
        return
    settings = _plain(config)
    ways = (settings[name] for name in ("query_size", "query_growth", "rounds", "budget"))
    check(Schedule(initial.size, len(data.pool), *ways).planned[-1])


def shared_data(config: DictConfig, ranks: Ranks) -> tuple[Data, HiddenLabels]:
    """Return what `build_data` does, the same on all ranks.

    Raises:
        ConfigError: other processes have other settings, or other data.
    """
    if ranks.size == 1:
        return build_data(config)
    ranks.check_same("settings", flat(_identity(config)))
    with ranks.in_turn():
        data, hidden = build_data(config)
    # Embeddings may differ in their last bits between kinds of machines.
    embedded = data.embeddings is not None
    ranks.check_same("data", {"pool": len(data.pool)} if embedded else data.fingerprints)
    return data, hidden


def build_learner(config: DictConfig, ranks: Ranks = ALONE) -> Any:
    """Return the learner; one whose constructor takes `model` gets that of the group `model`."""
    target = get_object(config.learner._target_)
    device = ranks.device(config.device)
    if "model" in inspect.signature(target).parameters:
        model = models.from_config(_plain(config.model))
        return shared(_factory(config.learner)(model=model, device=device), ranks)
    return shared(_factory(config.learner)(device=device), ranks)


def build_neighbors(config: DictConfig) -> NeighborSearch:
    """Return how neighbours are searched, and where they are kept."""
    settings = _plain(config.neighbors)
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


def original_pool(
    config: DictConfig, load: Callable[[DictConfig], tuple[Data, HiddenLabels]]
) -> Samples:
    """Return the samples of the pool as they were before `embed` took their place."""
    plain = config.copy()
    plain.embed = {"_target_": "activeloop.embed.none"}
    return load(plain)[0].pool


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


def _plain(node: Any) -> Any:
    """Return a config node as plain Python, interpolations resolved."""
    if not isinstance(node, DictConfig | ListConfig):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True)
    except Exception as error:
        raise ConfigError(" ".join(str(error).split())) from error


def _identity(config: DictConfig) -> dict[str, Any]:
    """Return what makes a run this run: all settings but those of the machine."""
    settings = {name: value for name, value in _plain(config).items() if name not in _ELSEWHERE}
    settings["data"] = without_storage(settings["data"])
    for name in ("neighbors", "embed"):
        if "cache" in settings[name]:
            settings[name] = settings[name] | {"cache": None}
    return settings


def labels_of(config: DictConfig, hydra: Any) -> dict[str, Any]:
    """Return how reports name this run."""
    root = OmegaConf.merge(OmegaConf.create({"hydra": hydra}), config)
    assert isinstance(root, DictConfig)
    return {
        "strategy": strategy_name(root),
        "variant": variant(root).lstrip("-"),
        "seed": config.seed,
        "data": hydra.runtime.choices.data,
    }


def _title(labels: Mapping[str, Any]) -> str:
    variant = f", {labels['variant']}" if labels["variant"] else ""
    return f"{labels['data']}, {labels['strategy']}{variant}, seed {labels['seed']}"
