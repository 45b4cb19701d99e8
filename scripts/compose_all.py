"""Compose every option of every group with the installed activeloop; build strategies and rules.

python scripts/compose_all.py
"""

from __future__ import annotations

from typing import Any

from hydra import compose, initialize_config_dir
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
                config: Any = OmegaConf.to_container(
                    compose("config", [f"{group}={option}"]), resolve=True
                )
                if group == "strategy" and "???" not in config["strategy"].values():
                    from_config(config["strategy"])
                if group == "stopping" and "???" not in config["stopping"].values():
                    stopping.from_config(config["stopping"])
                composed += 1
            print(f"{group}: {', '.join(options)}")
    print(f"{composed} options composed from {config_dir()}")


if __name__ == "__main__":
    main()
