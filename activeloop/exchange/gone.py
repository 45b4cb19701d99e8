"""Answers of a branch's origin to samples that are not in the branch's pool: removed, for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from activeloop.data.folder import images_below
from activeloop.errors import ConfigError
from activeloop.exchange.composing import settings_of
from activeloop.exchange.origin import Origin
from activeloop.loading import read_data
from activeloop.manifest import parts_of
from activeloop.messages import shown
from activeloop.run_paths import IMAGE_FOLDER
from activeloop.store import Event
from activeloop.words import counted, some

# Settings of data that say which samples are in the pool, whatever the files are.
_CHOOSING = (
    *("_target_", "classes", "test_fraction", "unreadable"),
    *("seed", "validation", "imbalance", "pool_size", "repeat"),
)


@dataclass(frozen=True, kw_only=True)
class Gone:
    """Answers that are left out, by where their samples are now.

    Attributes:
        held_out: in the test or validation set.
        cut: still there, and left out by a setting.
        removed: not there any more.
    """

    held_out: Sequence[Event] = ()
    cut: Sequence[Event] = ()
    removed: Sequence[Event] = ()

    def __len__(self) -> int:
        return len(self.held_out) + len(self.cut) + len(self.removed)


def without_gone(origin: Origin, config: DictConfig) -> tuple[Origin, Gone]:
    """Return an origin without the answers to samples that are not in the pool now, and these.

    Where the files and the settings that choose among them are those that the run had, no sample
    is read for it.

    Args:
        origin: what the branch starts from.
        config: of the branch.

    Raises:
        ConfigError: no label is left.
        DataError: the samples cannot be read.
    """
    names: set[str] | None = None
    if config.data._target_ == IMAGE_FOLDER:
        root = Path(config.data.root).expanduser()
        names = set(images_below(root, root))
    if (names is None or names == origin.keys) and not _chosen_otherwise(origin, config):
        return origin, Gone()
    data, _ = read_data(config)
    parts = {name: frozenset(part.keys) for name, part in parts_of(data).items()}
    pool, held_out = parts.pop("pool"), frozenset[str]().union(*parts.values())
    left = origin.within(pool)
    gone = [each for each in origin.answers if each.key not in pool]
    out = [each for each in gone if each.key not in held_out]
    if not left.labels:
        raise ConfigError(
            f"none of the samples that have a label in {shown(origin.directory)} is in the pool of "
            f"{config.data.get('root', config.data._target_)} now: there is nothing to start from"
        )
    return left, Gone(
        held_out=[each for each in gone if each.key in held_out],
        cut=[each for each in out if names is None or each.key in names],
        removed=[each for each in out if names is not None and each.key not in names],
    )


def _chosen_otherwise(origin: Origin, config: DictConfig) -> bool:
    before = settings_of(origin.directory).get("data") or {}
    now = OmegaConf.to_container(config.data, resolve=True)
    assert isinstance(now, dict)
    return any(before.get(name) != now.get(name) for name in _CHOOSING)


def gone_text(gone: Gone, origin: Origin) -> str:
    """Return which answers are left out and why, and where they stay."""
    kinds = (
        (gone.removed, "not there any more"),
        (gone.held_out, "in the test or validation set"),
        (gone.cut, "left out by the settings of the data"),
    )
    told = [
        f"{len(events):,} {'is' if len(events) == 1 else 'are'} {where} ({_named(events)})"
        for events, where in kinds
        if events
    ]
    return (
        f"left out: {counted(len(gone), 'answer')} to samples that are not in the pool now: "
        f"{'; '.join(told)}; in {shown(origin.directory)} they stay"
    )


def _named(events: Sequence[Event]) -> str:
    return some(sorted(event.key for event in events))
