"""From a composed config to a finished run: make the parts, run the loop, leave the files."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import os
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
from activeloop.audit import Audit
from activeloop.checks import bytes_of, plain, whole
from activeloop.config import Config, cache_dir, strategy_name, variant, without_storage
from activeloop.distributed import ALONE, Ranks, joined
from activeloop.environment import keep_environment, write_environment
from activeloop.errors import ConfigError, StoreError
from activeloop.finished import finished
from activeloop.flat_settings import flat
from activeloop.foreign import check_nobodys
from activeloop.initial import Initial
from activeloop.learners.leading import LeadingLearner, dismiss_helpers, help_leader, shared
from activeloop.loading import Loaded, build_data, check_as_read, data_of_run, kept_of
from activeloop.lock import LOCK_FILE, Lock
from activeloop.loop import ActiveLoop
from activeloop.messages import ERROR_FILE, one_line, shown
from activeloop.neighbors import NeighborSearch
from activeloop.progress import Progress, result_table
from activeloop.report.curves import draw_curve
from activeloop.schedule import Schedule
from activeloop.store import Store
from activeloop.sweep import check_swept
from activeloop.trackers import PoolImages, Tracking, checked, tracking_of
from activeloop.truth import check_truth
from activeloop.types import Data, HiddenLabels, NewSamples, Oracle, Round, Samples, Tracker
from activeloop.whole_files import named_errors, write_text

log = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"

# Settings of the machine, and who is told: with others, a run is still the same run.
_ELSEWHERE = ("device", "memory_limit", "seeds", "tracker")


def run_config(config: DictConfig) -> None:
    """Run what `config` says, in Hydra's output directory; or help the process that does."""
    hydra = HydraConfig.get()
    check_swept(hydra)
    if torchrun.place().rank > 0:
        help_run(config)
        return
    directory = Path(hydra.runtime.output_dir)
    about = about_of(config, directory, hydra)
    try:
        if torchrun.place().size == 1 and is_finished(directory, config):
            leave_alone(directory, about["run"])
        else:
            run_in(directory, config, about)
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


def run_in(
    directory: Path,
    config: DictConfig,
    about: Mapping[str, Any],
    new_samples: NewSamples = "refuse",
) -> None:
    """Run `config` in `directory`, or go on with the run that is there.

    Args:
        directory: of the run.
        config: the composed config.
        about: what `about_of` returns.
        new_samples: what to do with samples that came since it began.
    """
    announce(directory, config, about)
    with joined(torchrun.place(), config.device) as ranks:
        loop, oracle = build(config, directory, ranks=ranks, about=about, new_samples=new_samples)
        try:
            if begin(loop, directory, config, about):
                with Progress(loop.schedule.planned, loop.rounds) as progress:
                    loop.listeners.append(progress)
                    loop.run(oracle)
                result_table(loop.rounds)
                end(loop, directory, about["run"])
        finally:
            close(loop)
        dismiss_helpers(ranks)


def announce(directory: Path, config: DictConfig, about: Mapping[str, Any]) -> None:
    """Leave what `resume` needs, before the run has a database: it may be killed at any time.

    Raises:
        StoreError: the directory cannot be written, or holds somebody else's file of such a name.
    """
    if not (directory / "run.db").exists():
        by_people = bool(about["run"].get("labelled_by_people"))
        check_nobodys(directory, labelled_by_people=by_people)
        describe(directory, config, about)


def describe(directory: Path, config: DictConfig, about: Mapping[str, Any]) -> None:
    """Write the config and what else is known of a run of which nothing is done yet."""
    with named_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        write_environment(directory, None, about)
        write_text(directory / CONFIG_FILE, OmegaConf.to_yaml(config))


def help_run(config: DictConfig) -> None:
    """Do this process's share of the run that rank 0 makes of the same `config`."""
    with joined(torchrun.place(), config.device) as ranks:
        data = shared_data(config, ranks).data
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
    return config.tracker._target_ is None and finished(directory, identity_of(config))


def leave_alone(directory: Path, labels: Mapping[str, Any]) -> None:
    """Say that the run in `directory` is over, and draw its curve if that is not there."""
    if (directory / LOCK_FILE).exists():  # it was killed after its end, or is just ending
        with contextlib.suppress(StoreError, OSError):
            Lock(directory).release()
    with contextlib.closing(Store(directory / "run.db")) as store:
        _nothing_to_do(directory, store.meta("ended"), store.rounds(), labels)


def _nothing_to_do(
    directory: Path, ended: str, rounds: Sequence[Round], labels: Mapping[str, Any]
) -> None:
    print(f"{shown(directory)} holds this run, finished already ({ended}): nothing to do")
    (directory / ERROR_FILE).unlink(missing_ok=True)
    if not (directory / "curve.png").exists():
        draw_curve(rounds, directory / "curve.png", title=_title(labels))


def begin(loop: ActiveLoop, directory: Path, config: DictConfig, about: Mapping[str, Any]) -> bool:
    """Leave the files that explain the run; False: it is finished already."""
    if loop.ended is not None:
        _nothing_to_do(directory, loop.ended, loop.rounds, about["run"])
        track(loop, directory, config)
        return False
    if loop.rounds:
        print(f"going on with {shown(directory)} after round {loop.rounds[-1].round}")
    explain(loop, directory, config, about)
    track(loop, directory, config)
    return True


def explain(
    loop: ActiveLoop, directory: Path, config: DictConfig, about: Mapping[str, Any]
) -> None:
    """Write the config and the environment of a run that begins or goes on."""
    with named_errors(directory):
        if not loop.rounds or not (directory / CONFIG_FILE).exists():
            write_text(directory / CONFIG_FILE, OmegaConf.to_yaml(config))
        now = write_environment(directory, str(loop.learner.device), about)
    keep_environment(now, loop.files.store)


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


def track(loop: ActiveLoop, directory: Path, config: DictConfig) -> None:
    """Tell the run's tracker, if it has one, which run this is and what was done before."""
    store = loop.files.store
    for tracking in tracking_of(loop):
        tracking.begin(
            loop,
            directory=directory,
            home=Path(os.path.normpath(directory.absolute() / (store.meta("home") or "."))),
            config=_plain(config),
            labels=store.meta("run"),
        )


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
    strategy = strategies.from_config(_plain(config.strategy))
    rule = stopping.from_config(_plain(config.stopping))
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


def check_sizes(config: DictConfig) -> None:
    """Raise `ConfigError` if a size makes no sense, whatever the data."""
    initial = _plain(config.initial) or {}
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
    return Schedule(initial, pool, *(plain(_plain(config[name])) for name in names))


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


def _plain(node: Any) -> Any:
    """Return a config node as plain Python, interpolations resolved."""
    if not isinstance(node, DictConfig | ListConfig):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True)
    except Exception as error:
        raise ConfigError(" ".join(str(error).split())) from error


def identity_of(config: DictConfig) -> dict[str, Any]:
    """Return what makes a run this run: all settings but those of the machine."""
    settings = {name: value for name, value in _plain(config).items() if name not in _ELSEWHERE}
    return without_storage(settings)


def about_of(config: DictConfig, directory: Path, hydra: Any) -> dict[str, Any]:
    """Return what is kept with a run beside its config, for reports, trackers and `resume`.

    `run` names it; `home` leads from its directory to where several runs keep what is theirs.
    """
    root = OmegaConf.merge(OmegaConf.create({"hydra": hydra}), config)
    assert isinstance(root, DictConfig)
    labels = {
        "strategy": strategy_name(root),
        "variant": variant(root).lstrip("-"),
        "seed": config.seed,
        "data": hydra.runtime.choices.data,
    }
    home = hydra.sweep.dir if hydra.mode == RunMode.MULTIRUN else hydra.runtime.output_dir
    return {"run": labels, "home": os.path.relpath(home, directory)}


def _title(labels: Mapping[str, Any]) -> str:
    variant = f", {labels['variant']}" if labels["variant"] else ""
    return f"{labels['data']}, {labels['strategy']}{variant}, seed {labels['seed']}"
