"""The schema of the config, where it lies, and the names of run directories made from it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from activeloop.checks import whole
from activeloop.errors import ConfigError

# Where Hydra is told which keys to leave out of the names of directories; not typed by the user.
EXCLUDED_KEYS = "hydra.job.config.override_dirname.exclude_keys"

# The setting that names a strategy of the user's.
TARGET = "strategy._target_"

# The directories that `fresh` made for this command.
_fresh: dict[str, str] = {}

# Settings of a data set that change nothing of what it is.
STORAGE = ("cache", "workers", "memory_limit")

# An override's text longer than this is replaced by a digest in a directory's name.
_LONGEST_NAME = 80


@dataclass
class NeighborConfig:
    """How nearest neighbours are searched: `activeloop.neighbors.NeighborSearch`."""

    index: str = "auto"
    recall: float = 0.99
    cache: str | None = "auto"


@dataclass
class Config:
    """Top-level keys and their types; groups are checked by what they construct."""

    data: Any = None
    model: Any = None
    learner: Any = None
    embed: Any = None
    strategy: Any = None
    initial: Any = None
    oracle: Any = None
    stopping: Any = None
    tracker: Any = None
    seed: int = 0
    seeds: Any = None
    device: str = "auto"
    query_size: Any = 20
    query_growth: float = 1.0
    rounds: int | None = None
    budget: Any = None
    stop_set: int = 1000
    audit: float = 0.0
    measures: bool = False
    memory_limit: Any = None
    neighbors: NeighborConfig = field(default_factory=NeighborConfig)


def config_dir() -> Path:
    """Return the folder of the configs: in the package where a wheel put it, else beside it."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if (inside / "config.yaml").is_file() else package.parent / "conf"


def composed(words: Sequence[str], name: str = "config") -> DictConfig:
    """Return the config that overrides make of the one called `name`, with Hydra's own in it."""
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="activeloop"):
        return compose(name, [*words], return_hydra_config=True)


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a config without Hydra's own."""
    plain: DictConfig = config.copy()
    with open_dict(plain):
        plain.pop("hydra", None)
    return plain


def cache_dir() -> Path:
    """Return the folder for what can be computed again, `$XDG_CACHE_HOME/activeloop`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "activeloop"


def register() -> None:
    """Tell Hydra of the schema, the names of directories, and installed plug-in strategies."""
    store = ConfigStore.instance()
    _prefer_own_launchers(store)
    store.store(name="schema", node=Config)
    for entry in entry_points(group="activeloop.strategies"):
        target = f"{entry.module}.{entry.attr}"
        store.store(group="strategy", name=entry.name, node={"_target_": target})
    _fresh.clear()
    # Cached in the config, so that a sweep's jobs in other processes get the same directory.
    OmegaConf.register_new_resolver("activeloop.fresh", fresh, replace=True, use_cache=True)
    for name, resolver in (("run", run_dir), ("sweep", sweep_dir)):
        OmegaConf.register_new_resolver(f"activeloop.{name}_dir", resolver, replace=True)
    OmegaConf.register_new_resolver("activeloop.sweep_subdir", sweep_subdir, replace=True)


def _prefer_own_launchers(store: ConfigStore) -> None:
    """Have our configs of launchers stand for those that come with Hydra's plugins.

    Ours compose whether or not the plugins are installed; Hydra would merge two of one name, and
    warn of it.
    """
    Plugins.instance()  # finds the plugins, which store their configs
    theirs = store.repo.get("hydra", {}).get("launcher", {})
    for path in (config_dir() / "hydra" / "launcher").glob("*.yaml"):
        theirs.pop(path.name, None)


def fresh(path: str, date: str) -> str:
    """Return `path`, or `path-2`, ...: the first that is not there, which is made.

    A time in seconds does not tell two runs apart that start in the same second. A path without
    the date in it is meant to be the same each time.
    """
    if date not in path:
        return path
    for number in itertools.count(1):
        if path in _fresh:
            break
        candidate = Path(path if number == 1 else f"{path}-{number}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir(parents=True)
            _fresh[path] = str(candidate)
    return _fresh[path]


def made_fresh(path: str) -> bool:
    """Return whether `path` is a directory that `fresh` made for this command."""
    return path in _fresh.values()


def run_dir(date: str, time: str, *, _root_: DictConfig) -> str:
    """Return the directory of a single run; with `seeds`, that of their runs, as a sweep's."""
    if _root_.seeds is not None:
        return str(Path(sweep_dir(date, time, _root_=_root_), sweep_subdir(_root_=_root_)))
    if _experiment(_root_):
        return f"outputs/{_experiment(_root_)}/{_experiment_subdir(_root_)}"
    return f"outputs/{date}/{time}-{_choice(_root_, 'data')}-{run_name(_root_)}"


def sweep_dir(date: str, time: str, *, _root_: DictConfig) -> str:
    """Return the directory of a sweep; an experiment's has no time in it, so that it goes on."""
    experiment = _experiment(_root_)
    return f"outputs/{experiment}" if experiment else f"outputs/multirun/{date}/{time}"


def sweep_subdir(*, _root_: DictConfig) -> str:
    """Return the directory of one run in a sweep's; with `seeds`, of what theirs are in."""
    subdir = Path(_experiment_subdir(_root_) if _experiment(_root_) else run_name(_root_))
    return str(subdir if _root_.seeds is None else subdir.parent)


def run_name(root: DictConfig) -> str:
    """Return `STRATEGY-seedN`, then what else distinguishes this run from others of its sweep."""
    return f"{strategy_name(root)}-seed{root.seed}{variant(root)}"


def seeds_of(config: DictConfig) -> list[int]:
    """Return the seeds to run side by side: `seeds` of them from `seed` on, or those listed.

    Raises:
        ConfigError: `seeds` is neither.
    """
    seeds = config.seeds
    if isinstance(seeds, ListConfig | list | tuple):
        numbers = [whole("seeds", seed) for seed in seeds]
        if len(numbers) == len(set(numbers)) > 0:
            return numbers
    elif isinstance(seeds, int) and not isinstance(seeds, bool) and seeds > 0:
        return list(range(config.seed, config.seed + seeds))
    raise ConfigError(
        "seeds must be a number of seeds, of at least 1, or a list of different ones such as "
        f"'seeds=[1,5,9]', got {seeds!r}; for runs one by one: -m 'seed=range(10)'"
    )


def of_seed(root: DictConfig, seed: int) -> DictConfig:
    """Return the config of the run of one of several seeds: what it would be alone."""
    alone: DictConfig = root.copy()
    alone.seed, alone.seeds = seed, None
    return alone


def strategy_name(root: DictConfig) -> str:
    """Return the name of the strategy: the option's, or for `custom` that of its target."""
    choice = _choice(root, "strategy")
    target = OmegaConf.select(root, "strategy._target_", throw_on_missing=False)
    return str(target).rpartition(".")[2] if choice == "custom" and target else choice


def variant(root: DictConfig) -> str:
    """Return `-key=value...` of the swept keys other than strategy and seed, for a file's name.

    `app.main` has Hydra leave out of `override_dirname` what is not swept. Within an experiment
    all other settings are in the directory's digest, so that only the strategy's options count.
    """
    overrides = str(OmegaConf.select(root, "hydra.job.override_dirname") or "").split(",")
    if _experiment(root):
        task = OmegaConf.select(root, "hydra.overrides.task") or []
        options = [o.lstrip("+") for o in task if re.match(r"\+*strategy\.", o)]
        named = TARGET in (OmegaConf.select(root, EXCLUDED_KEYS) or ())
        overrides = [o for o in options if not (named and o.startswith(f"{TARGET}="))]
    text = ",".join(overrides)
    if not text:
        return ""
    if len(text) > _LONGEST_NAME:
        text = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    return "-" + re.sub(r"[^\w.=,+-]+", "_", text)


def _experiment_subdir(root: DictConfig) -> str:
    return f"{_choice(root, 'data')}-{_digest(root)}/{run_name(root)}"


def _digest(root: DictConfig) -> str:
    """Return a digest of the config but for what is compared and where it runs."""
    config: dict[str, Any] = {
        str(name): OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        for name, node in root.items_ex(resolve=False)
        if name not in ("hydra", "strategy", "seed", "seeds", "device", "memory_limit", "tracker")
    }
    text = json.dumps(without_storage(config), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def without_storage(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings without those that say where things are held, and by whom."""
    kept = dict(settings)
    if isinstance(kept["data"], dict):
        kept["data"] = {key: value for key, value in kept["data"].items() if key not in STORAGE}
    for name in ("neighbors", "embed"):
        if "cache" in kept[name]:
            kept[name] = {**kept[name], "cache": None}
    return kept


def _experiment(root: DictConfig) -> str | None:
    choice = OmegaConf.select(root, "hydra.runtime.choices.experiment")
    return None if choice in (None, "null") else str(choice)


def _choice(root: DictConfig, group: str) -> str:
    return str(OmegaConf.select(root, f"hydra.runtime.choices.{group}")).replace("/", "_")
