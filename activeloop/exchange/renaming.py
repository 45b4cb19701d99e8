"""Classes of a branch that are called otherwise than in the run that it is a branch of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from omegaconf import DictConfig

from activeloop.errors import ConfigError
from activeloop.exchange.origin import Origin
from activeloop.messages import shown


def renamed(origin: Origin, config: DictConfig, pairs: Sequence[str]) -> Origin:
    """Return an origin with other names for classes, and have the config call them so.

    Args:
        origin: what the branch starts from.
        config: of the branch; its `data.classes` are changed.
        pairs: as they are typed: OLD=NEW.

    Raises:
        ConfigError: one is no class of the run, has its name from elsewhere, or gets a name that
            another has.
    """
    if not pairs:
        return origin
    named = [str(name) for name in config.data.get("classes") or ()]
    known = list(dict.fromkeys([*named, *origin.classes]))
    renamings = [_pair(pair, known) for pair in pairs]
    names = dict(renamings)
    if len(names) < len(renamings):
        raise ConfigError("--rename must name each class once, got " + ", ".join(pairs))
    for old in names:
        _check_may_change(origin, old, named, known)
    new = [names.get(name, name) for name in known]
    if twice := [name for name in new if new.count(name) > 1]:
        raise ConfigError(f"there would be two classes {twice[0]!r}: a name is of one class")
    if named:
        config.data.classes = [names.get(name, name) for name in named]
    return replace(
        origin,
        classes=tuple(names.get(name, name) for name in origin.classes),
        answers=tuple(
            replace(each, label=names.get(each.label, each.label)) if each.label else each
            for each in origin.answers
        ),
        renamed=names,
    )


def _pair(pair: str, known: Sequence[str]) -> tuple[str, str]:
    """Return old and new name; either may have a = in it."""
    parts = pair.split("=")
    splits = [("=".join(parts[:n]), "=".join(parts[n:])) for n in range(1, len(parts))]
    old, new = next((s for s in splits if s[0] in known), splits[0] if splits else (pair, ""))
    new = new.strip()
    if not new or not new.isprintable():
        raise ConfigError(f"--rename must be OLD=NEW, as in --rename dgo=dog, got {pair!r}")
    if "${" in new or new == "???":
        raise ConfigError(f"no class can be called {new!r}, which settings would read otherwise")
    return old, new


def _check_may_change(origin: Origin, old: str, named: Sequence[str], known: Sequence[str]) -> None:
    """Raise `ConfigError` if nothing is called so, or the data call it so."""
    if old not in known:
        raise ConfigError(
            f"{shown(origin.directory)} has no class {old!r}: there is {', '.join(known)}"
        )
    folder = next((key for key in origin.keys if old in PurePosixPath(key).parts[:-1]), None)
    by_data = old in origin.classes[: origin.of_data] and old not in named
    if by_data and named and folder is None:
        raise ConfigError(
            f"class {old!r} is not in data.classes=[{','.join(named)}]: leave data.classes= out, "
            "--rename changes it"
        )
    if by_data or folder is not None:
        whence = f" (as of {folder})" if folder else ""
        raise ConfigError(f"class {old!r} has its name from the data{whence}, and keeps it")
