"""Compose every option of every group with the installed activeloop; build strategies and rules.

Of an experiment that is a sweep each job is composed too.

python scripts/compose_all.py
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from activeloop import stopping
from activeloop.config import config_dir, register
from activeloop.strategies import from_config


def main() -> None:
    """Compose; raise at the first option that does not."""
    register()
    composed = 0
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="activeloop"):
        for folder in sorted({path.parent for path in config_dir().glob("*/**/*.yaml")}):
            group = folder.relative_to(config_dir()).as_posix()
            options = sorted(path.stem for path in folder.glob("*.yaml"))
            for option in options:
                for overrides in jobs(f"{group}={option}"):
                    config: Any = OmegaConf.to_container(compose("config", overrides), resolve=True)
                    if "???" not in config["strategy"].values():
                        from_config(config["strategy"])
                    if "???" not in config["stopping"].values():
                        stopping.from_config(config["stopping"])
                    composed += 1
            print(f"{group}: {', '.join(options)}")
    print(f"{composed} configs composed from {config_dir()}")


def jobs(choice: str) -> Iterator[list[str]]:
    """Yield the overrides of each run that `choice` makes: one, or those of its own sweep."""
    params = compose("config", [choice], return_hydra_config=True).hydra.sweeper.params or {}
    parsed = OverridesParser.create().parse_overrides([f"{k}={v}" for k, v in params.items()])
    swept = [
        [f"{each.key_or_group}={value}" for value in each.sweep_string_iterator()]
        for each in parsed
    ]
    for values in itertools.product(*swept):
        yield [choice, *values]


if __name__ == "__main__":
    main()
