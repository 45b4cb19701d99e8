"""Which process this is of those that torchrun started. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from activeloop.errors import ConfigError

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """A process among those of a run.

    Attributes:
        rank: its number; 0 leads.
        size: how many processes there are.
        local_rank: its number on its machine, and that of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def place() -> Place:
    """Return this process's place: alone, unless torchrun's variables say otherwise.

    Raises:
        ConfigError: the variables are no numbers that fit together.
    """
    given = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if len(given) < len(_VARIABLES):
        return Place()
    rank, size, local = (given[name] for name in _VARIABLES[:3])
    if not all(each.isdecimal() for each in (rank, size, local)) or int(rank) >= int(size):
        raise ConfigError(
            f"RANK={rank}, WORLD_SIZE={size} and LOCAL_RANK={local} do not fit together: unset "
            "them, or start with torchrun, which sets them"
        )
    return Place(int(rank), int(size), int(local))


def overrides(place: Place, options: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return what the processes of a run need: one run, for which only the first keeps a directory.

    Args:
        place: of this process.
        options: of the command line, by their whole names.
        words: its overrides.

    Raises:
        ConfigError: the command line starts a sweep.
    """
    if place.size == 1:
        return []
    if "--multirun" in options or "hydra.mode=MULTIRUN" in words:
        raise ConfigError(
            "torchrun shares one run among its processes: leave out -m and start it once for each "
            "run; for a sweep leave out torchrun, and see hydra/launcher=joblib or submitit_slurm"
        )
    # An experiment that is a sweep by itself is one run of it here.
    one = [] if "hydra.mode=RUN" in words else ["hydra.mode=RUN"]
    if place.rank == 0:
        return one
    return [
        *one,
        "hydra.run.dir=.",
        f"hydra.job_logging.handlers.file.filename={os.devnull}",
        "hydra.job_logging.root.handlers=[file]",
    ]
