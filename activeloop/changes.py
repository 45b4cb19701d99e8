"""Data that changed since a run began: what changed, by key, and whether the run can go on.

A sample keeps the index that it had, and the part of the data that it was in. New ones come after
all that were there, or stay out.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from activeloop import torchrun
from activeloop.data.joining import in_order
from activeloop.errors import StoreError
from activeloop.manifest import Manifest, fingerprints_of, parts_of
from activeloop.types import Data, HiddenLabels, NewSamples
from activeloop.words import some

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How data differ from what a run kept of its own, by the keys of samples.

    Attributes:
        vanished: those of the run that are not there.
        new: those that the run did not have.
        changed: those of the run whose content is another, where that was kept.
    """

    vanished: tuple[str, ...]
    new: tuple[str, ...]
    changed: tuple[str, ...]

    @classmethod
    def between(cls, kept: Manifest, data: Data) -> Changes:
        """Return how `data` differ from what was kept."""
        now = {key: part for part in parts_of(data).values() for key in part.keys}
        before = {key for part in kept.parts.values() for key in part.keys}
        return cls(
            vanished=tuple(
                key for part in kept.parts.values() for key in part.keys if key not in now
            ),
            new=tuple(key for key in now if key not in before),
            changed=tuple(_changed(kept, data)),
        )

    def __str__(self) -> str:
        """Return them in words; nothing where nothing is known of them."""
        told = [
            _counted(self.vanished, "is gone", "are gone"),
            _counted(self.changed, "has another content", "have another content"),
            _counted(self.new, "is new", "are new"),
        ]
        return "; ".join(filter(None, told))


def _changed(kept: Manifest, data: Data) -> list[str]:
    """Return the keys of samples with another checksum, where checksums were kept."""
    before = {
        key: checksum
        for part in kept.parts.values()
        if part.checksums is not None
        for key, checksum in zip(part.keys, part.checksums.tolist(), strict=True)
    }
    if not before:
        return []
    return [
        key
        for part in parts_of(data).values()
        if hasattr(part, "checksums")
        for key, checksum in zip(part.keys, part.checksums.tolist(), strict=True)
        if before.get(key, checksum) != checksum
    ]


def _counted(keys: Sequence[str], one: str, several: str) -> str:
    if not keys:
        return ""
    said = f"1 sample {one}" if len(keys) == 1 else f"{len(keys)} samples {several}"
    return f"{said} ({some(keys)})"


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Data as a run goes on with them.

    Attributes:
        data: its own samples in their order, and then those that joined.
        hidden: their labels.
        joined: the keys of those that joined now.
    """

    data: Data
    hidden: HiddenLabels
    joined: tuple[str, ...] = ()


def settled(
    kept: Manifest,
    loaded: tuple[Data, HiddenLabels],
    read_whole: Callable[[], tuple[Data, HiddenLabels]],
    directory: Path,
    new_samples: NewSamples = "refuse",
    cut: str = "",
    command: str | None = "resume",
) -> Settled:
    """Return the data of the run in `directory`, from what is there now.

    Args:
        kept: what the run kept of its samples.
        loaded: the data that are there now, as the run's config says, before embedding.
        read_whole: reads them without splitting, and without leaving any out.
        directory: of the run.
        new_samples: what to do with samples that the run did not have.
        cut: the settings that leave samples out, if any: which are new cannot be told then.
        command: as `command_of` returns it.

    Raises:
        StoreError: samples are gone or have changed; or there are new ones, and it was not said
            what to do with them.
    """
    data, hidden = loaded
    if kept.same_keys(data):
        return _normalised_as_kept(kept, data, hidden)
    classes = data.classes
    data, hidden = read_whole()
    if strange := sorted(set(classes) - set(data.classes)):
        log.warning("the run has no class %r: samples of that are left out", strange[0])
    changes = Changes.between(kept, data)
    if cut and changes.new:  # or left out before: it cannot be told
        changes = replace(changes, new=())
        if new_samples != "ignore" and not (changes.vanished or changes.changed):
            raise StoreError(cut_text(directory, cut, command))
    if changes.vanished or changes.changed or (changes.new and new_samples == "refuse"):
        raise StoreError(changed_text(directory, changes, command))
    if kept.mean is None or kept.std is None:
        raise StoreError(f"{directory}: the samples of the run cannot be put in the order they had")
    keys = {name: list(part.keys) for name, part in kept.parts.items()}
    own, own_hidden = in_order(data, hidden, keys, kept.mean, kept.std)
    if fingerprints_of(own) != kept.fingerprints:
        raise StoreError(
            f"{directory}: samples have the keys that they had and another content: put the data "
            "of the run back; nothing was changed"
        )
    new = set(changes.new)
    joined = tuple(key for key in data.pool.keys if key in new)
    if new_samples != "join" or not joined:
        return Settled(data=own, hidden=own_hidden)
    keys["pool"] += joined
    data, hidden = in_order(data, hidden, keys, kept.mean, kept.std)
    return Settled(data=data, hidden=hidden, joined=joined)


def _normalised_as_kept(kept: Manifest, data: Data, hidden: HiddenLabels) -> Settled:
    """Return data that have the keys of the run, with the normalisation that the run keeps.

    It is that of the samples that the run began with, and others may have joined them. Data with
    another content are returned as they are, which their fingerprints tell.
    """
    if kept.mean is None or kept.std is None or kept.same_moments(data):
        return Settled(data=data, hidden=hidden)
    keys = {name: part.keys for name, part in kept.parts.items()}
    own, own_hidden = in_order(data, hidden, keys, kept.mean, kept.std)
    if fingerprints_of(own) != kept.fingerprints:
        return Settled(data=data, hidden=hidden)
    return Settled(data=own, hidden=own_hidden)


def changed_text(directory: Path, changes: Changes, command: str | None) -> str:
    """Return what changed, and what to do about it where the run began on the command line."""
    said = f"the data are not those of the run in {directory}: {changes}; nothing was changed. "
    if changes.vanished or changes.changed:
        said += "Put back what the run had, for labels stay with their samples"
        if changes.changed or command is None:
            return said
        return said + (
            "; or, if they are to be gone, begin a run from the labels of those that are left: "
            f"python -m activeloop branch {shlex.quote(str(directory))}"
        )
    if command is None:
        return said + "Take them out, or begin another run"
    return said + (
        f"To go on: {_going_on(directory, command)} join (they come to the end of the pool) or "
        "--new-samples ignore (they stay out)"
    )


def cut_text(directory: Path, cut: str, command: str | None) -> str:
    """Return why nothing can join where settings leave samples out."""
    return (
        f"the data are not those of the run in {directory}: {cut} chooses from other samples now; "
        f"nothing was changed. Which are new cannot be told, so none can join: "
        f"{_going_on(directory, command or 'resume')} ignore goes on with those of the run"
    )


def _going_on(directory: Path, command: str) -> str:
    alone = "" if torchrun.place().size == 1 else "without torchrun, in one process: "
    return f"{alone}python -m activeloop {command} {shlex.quote(str(directory))} --new-samples"
