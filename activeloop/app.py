"""The command line: a subcommand, or compose the config and run. Imports nothing heavy."""

from __future__ import annotations

import difflib
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from activeloop import __version__, sweep, torchrun
from activeloop.arguments import settings_and_options
from activeloop.config import EXCLUDED_KEYS, TARGET, config_dir, register
from activeloop.embed_command import embed
from activeloop.errors import ActiveLoopError, ConfigError, RunsFailed
from activeloop.exchange.branch_command import branch
from activeloop.exchange.export_command import export
from activeloop.exchange.import_command import import_labels
from activeloop.experiments import multirun_option
from activeloop.label.command import label
from activeloop.messages import one_line
from activeloop.overrides import check_directories, check_sweeps, check_whole, parsed
from activeloop.predict_command import predict
from activeloop.report.command import report
from activeloop.resume_command import resume
from activeloop.strategies_command import strategies
from activeloop.targets import check_composed, check_targets

# Each takes words, and returns the exit code, if that is not 0.
SUBCOMMANDS: dict[str, Callable[[Sequence[str]], int | None]] = {
    "strategies": strategies,
    "embed": embed,
    "report": report,
    "label": label,
    "predict": predict,
    "resume": resume,
    "export": export,
    "import": import_labels,
    "branch": branch,
}


def main() -> None:
    """Run the command line of `python -m activeloop` and of the console script."""
    traceback_wanted = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Threads of torch's OpenMP that wait for each other by spinning slow a small network down a
    # hundredfold where cores are shared, as by the jobs of a sweep. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Has Hydra raise, so that errors are printed here, in one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # The console script does not put the working directory on the path, `python -m` does.
    if (here := str(Path.cwd())) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        code = dispatch(sys.argv[1:])
    except KeyboardInterrupt as interrupt:
        code = 130
        if torchrun.place().rank > 0:  # rank 0 has been interrupted too, and says so
            sys.exit(code)
        print(f"interrupted{_how_to_go_on(interrupt)}", file=sys.stderr)
    except Exception as error:
        code = 1
        process = _process_to_say()
        if process is not None and traceback_wanted:
            traceback.print_exc()
        elif process is not None:
            print(f"error{process}: {one_line(error)}", file=sys.stderr)
    sweep.forget()
    sys.exit(code)


def _how_to_go_on(interrupt: KeyboardInterrupt) -> str:
    setting = sweep.how_to_go_on()
    if setting is None and interrupt.args:
        setting = str(interrupt)
    if setting is None:
        return ""
    return f"; the same command{f' with {setting}' if setting else ''} goes on"


def _process_to_say() -> str | None:
    """Return how to call this process in an error message; None: another one tells of it."""
    try:
        place = torchrun.place()
    except ConfigError:
        return ""
    if place.size == 1:
        return ""
    from activeloop.distributed import failed

    if not failed(place):
        return None
    return f" on rank {place.rank}" if place.rank else ""


def dispatch(arguments: Sequence[str]) -> int:
    """Run the subcommand that the first word names, or else Hydra; return the exit code."""
    check_whole(arguments)
    if arguments and "=" not in arguments[0] and not arguments[0].startswith(("-", "~", "+")):
        return subcommand(arguments[0])(arguments[1:]) or 0
    sweep.forget()
    register()
    overrides, options = settings_and_options(arguments)
    if "--version" in options:  # Hydra would tell its own
        print(versions())
        return 0
    folders = config_folders(options)
    warn_of_hidden_configs(folders)
    overrides += experiments_seeds_left_out(overrides)
    own = torchrun.overrides(torchrun.place(), options, overrides)
    read = parsed([*overrides, *own])
    check_sweeps(read)
    check_directories(read)
    check_targets(read)
    options += multirun_option(read, options, folders)
    # Overrides first, for argparse takes positional arguments in one group only.
    sys.argv[1:] = [*overrides, *fixed_keys_left_out(overrides), *own, *options]
    task = Task()
    hydra_main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
    try:
        hydra_main(task)()
    except Exception as error:
        if sweep.started() is None:
            raise
        task.failure = error
    if task.failure is not None and sweep.started() is None:
        raise task.failure
    return sweep.finish(task.failure)


class Task:
    """What Hydra calls with each composed config; launchers may send it to other processes.

    Attributes:
        failure: what a single run raised.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._sent = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up work in another process; what Hydra knows there, it sends along itself."""
        self.__dict__.update(state)
        self._sent = True

    def __call__(self, config: DictConfig) -> None:
        """Run what `config` says."""
        from activeloop.runner import run_config
        from activeloop.seeds import run_seeds

        try:
            hydra_config = HydraConfig.get()
            check_composed(hydra_config.overrides.task, hydra_config.runtime.choices)
            run_seeds(config) if config.get("seeds") is not None else run_config(config)
        except Exception as error:
            # A sweep's job raises, in whichever process it is; a single run's error is raised
            # by `dispatch`, past Hydra's own words about it.
            if self._sent:  # it goes back in a pickle, which not every error survives
                if isinstance(error, RunsFailed):
                    raise
                raise ActiveLoopError(one_line(error)) from None
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            self.failure = error
        except KeyboardInterrupt as interrupt:
            hydra_config = HydraConfig.get()
            setting = f"hydra.run.dir={shlex.quote(hydra_config.runtime.output_dir)}"
            said = any(word.startswith("hydra.run.dir=") for word in hydra_config.overrides.hydra)
            raise KeyboardInterrupt("" if said else setting) from interrupt


def subcommand(name: str) -> Callable[[Sequence[str]], int | None]:
    """Return the subcommand of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SUBCOMMANDS:
        close = difflib.get_close_matches(name, SUBCOMMANDS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(SUBCOMMANDS)}"
        raise ConfigError(f"unknown command {name!r}: {hint}; settings are given as key=value")
    return SUBCOMMANDS[name]


def versions() -> str:
    """Return which activeloop this is, with what else a report of a mistake should name."""
    return f"activeloop {__version__} (torch {version('torch')}, hydra {version('hydra-core')})"


def experiments_seeds_left_out(overrides: Sequence[str]) -> list[str]:
    """Return the override by which a `seed=` takes the place of the `seeds` of an experiment."""
    given = {override.key_or_group for override in parsed(overrides)}
    return ["seeds=null"] if {"experiment", "seed"} <= given and "seeds" not in given else []


def fixed_keys_left_out(overrides: Sequence[str]) -> list[str]:
    """Return the override that leaves only swept keys in the names of directories.

    A strategy of the user's is called by the last part of its target, and by all of it where others
    of the sweep are called so too.
    """
    if not (read := parsed(overrides)):
        return []
    fixed = {o.key_or_group for o in read if o.key_or_group and not o.is_sweep_override()}
    targets = [o for o in read if o.key_or_group == TARGET and o.is_choice_sweep()]
    last = [str(each).rpartition(".")[2] for o in targets for each in o.sweep_iterator()]
    if len(set(last)) == len(last):
        fixed.add(TARGET)
    names = ",".join(sorted({"strategy", "seed", "experiment"} | fixed))
    return [f"{EXCLUDED_KEYS}=[{names}]"]


def config_folders(options: Sequence[str]) -> list[Path]:
    """Return the folders of `--config-dir`."""
    return [Path(o.partition("=")[2]) for o in options if o.startswith("--config-dir=")]


def warn_of_hidden_configs(folders: Sequence[Path]) -> None:
    """Say which files of `--config-dir` Hydra ignores, because a config of ours has that name."""
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            name = path.relative_to(folder)
            if (config_dir() / name).is_file():
                print(
                    f"warning: {path} is ignored: activeloop has a {name.as_posix()} of its own, "
                    "which comes first; give yours another name",
                    file=sys.stderr,
                )
