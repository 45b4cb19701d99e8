"""Answers of a branch's origin to images that are not in the branch's pool: removed, for one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from activeloop.data.folder import images_below
from activeloop.errors import ConfigError
from activeloop.exchange.origin import Origin
from activeloop.loading import read_data
from activeloop.messages import shown
from activeloop.reloading import IMAGE_FOLDER
from activeloop.store import Event
from activeloop.words import counted

_NAMED = 10


def without_gone(origin: Origin, config: DictConfig) -> tuple[Origin, list[Event]]:
    """Return an origin without the answers to images that are not in the pool now, and these.

    Where the files are those that the run had, no image is read for it.

    Args:
        origin: what the branch starts from.
        config: of the branch.

    Raises:
        ConfigError: no label is left.
        DataError: the images cannot be read.
    """
    if config.data._target_ != IMAGE_FOLDER:
        return origin, []
    root = Path(config.data.root).expanduser()
    if origin.keys == set(images_below(root, root)):
        return origin, []
    data, _ = read_data(config)
    left = origin.within(frozenset(data.pool.keys))
    there = {each.key for each in left.answers}
    gone = [each for each in origin.answers if each.key not in there]
    if not left.labels:
        raise ConfigError(
            f"none of the images that have a label in {shown(origin.directory)} is in {root} now: "
            "there is nothing to start from"
        )
    return left, gone


def gone_text(gone: Sequence[Event], origin: Origin) -> str:
    """Return which answers are left out, and where they stay."""
    keys = sorted(event.key for event in gone)
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return (
        f"left out: {counted(len(gone), 'answer')} to images that are not in the pool now "
        f"({', '.join(keys[:_NAMED])}{more}); in {shown(origin.directory)} they stay"
    )
