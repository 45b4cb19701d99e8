"""What `python -m activeloop strategies` prints: the table of strategies, or all of one."""

from __future__ import annotations

import difflib
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from activeloop.config import config_dir
from activeloop.errors import ConfigError
from activeloop.strategies import (
    ENTRY_POINTS,
    FAMILIES,
    About,
    about,
    find,
    known_strategies,
    locate,
)

WIDTH = 100
_HEADINGS = ("strategy", "asks first for", "budget", "needs", "time")
_MARKDOWN_HEADINGS = ("`strategy=`", *_HEADINGS[1:])
# Widths of the columns after the name and what is asked first, which takes what is left.
_NARROW = (6, 12, 20)
_GAP = 2
# In the order in which they become costly.
_NEEDS = ("embeddings", "probs", "features", "head", "neighbors", "members")


def listed(name: str | None, folder: str | None, *, as_markdown: bool) -> str:
    """Return all of the strategy called `name`, or the table of all.

    Args:
        name: None: the table.
        folder: of the user's own configs.
        as_markdown: whether to return the table of the README.

    Raises:
        ConfigError: there is no such strategy or folder.
    """
    own = own_configs(folder)
    if name is not None:
        return in_full(name, own)
    if as_markdown:
        # The README is about what comes with activeloop, whatever else is installed here.
        return markdown(each for each in known_strategies() if each.family in FAMILIES)
    found = [about(locate(_target(path)), name, str(path.parent)) for name, path in own.items()]
    return (
        f"{table(itertools.chain(known_strategies(), found))}\n\n"
        "All of one: python -m activeloop strategies NAME\n"
        "Your own: strategy=custom strategy._target_=my_module.my_strategy, a YAML file in a\n"
        f"folder given by --config-dir, or a package with the entry-point group {ENTRY_POINTS}."
    )


def own_configs(folder: str | None) -> dict[str, Path]:
    """Return the strategies that a user's folder of configs has, by name.

    Raises:
        ConfigError: there is no such folder.
    """
    if folder is None:
        return {}
    if not (Path(folder) / "strategy").is_dir():
        raise ConfigError(f"--config-dir {folder}: there is no folder {folder}/strategy")
    return {path.stem: path for path in sorted((Path(folder) / "strategy").glob("*.yaml"))}


def table(strategies: Iterable[About], width: int = WIDTH) -> str:
    """Return the strategies as a table of `width` columns, family by family."""
    listed = list(strategies)
    longest = max(len(each.name) for each in listed)
    rest = width - longest - sum(_NARROW) - _GAP * len(_NARROW) - _GAP
    widths = (longest, rest, *_NARROW)
    lines = [*_row(_HEADINGS, widths)]
    for family, members in itertools.groupby(listed, lambda each: each.family):
        lines += ["", family, "-" * len(family)]
        for each in members:
            lines += _row(_cells(each), widths)
    return "\n".join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row, each cell wrapped to its width."""
    wrapped = [textwrap.wrap(c, w) or [""] for c, w in zip(cells, widths, strict=True)]
    for parts in itertools.zip_longest(*wrapped, fillvalue=""):
        padded = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield (" " * _GAP).join(padded).rstrip()


def markdown(strategies: Iterable[About]) -> str:
    """Return the strategies as a table in Markdown."""
    lines = [_markdown_row(_MARKDOWN_HEADINGS), _markdown_row(["---"] * len(_HEADINGS))]
    for family, members in itertools.groupby(strategies, lambda each: each.family):
        lines.append(_markdown_row([f"**{family}**", *[""] * (len(_HEADINGS) - 1)]))
        for each in members:
            name, *cells = _cells(each)
            lines.append(_markdown_row([f"`{name}`", *cells]))
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _cells(strategy: About) -> tuple[str, ...]:
    needs = [name for name in _NEEDS if name in strategy.needs]
    if strategy.wraps:
        needs.append("inner's")
    return (
        strategy.name,
        strategy.summary.removesuffix("."),
        strategy.budget.partition(" ")[0].rstrip(",;:"),
        ", ".join(needs) or "nothing",
        strategy.time,
    )


def in_full(name: str, own: dict[str, Path]) -> str:
    """Return the documentation of a strategy and its options.

    Args:
        name: of a built-in or installed strategy, of one in `own`, or a dotted path.
        own: configs of the user, by name.

    Raises:
        ConfigError: there is no such strategy.
    """
    if own and name not in own and (close := difflib.get_close_matches(name, own, 1, 0.8)):
        raise ConfigError(f"unknown strategy {name!r}: did you mean {close[0]!r}?")
    ours = config_dir() / "strategy" / f"{name}.yaml"
    path = ours if ours.is_file() else own.get(name)
    # `custom` has no target until the user gives it one.
    target = None if name == "custom" else find(name if name not in own else _target(own[name]))
    text = [name, "=" * len(name), ""]
    if target is not None:
        text += [inspect.getdoc(target) or "(no documentation)", ""]
    if path is not None:
        text += [f"Options, from {path}; set them with strategy.OPTION=VALUE:"]
        lines = path.read_text("utf-8").splitlines()
        text += [f"    {line}" for line in lines if not line.startswith("#")]
    else:
        assert target is not None
        text += [f"Options: {inspect.signature(target)}"]
    return "\n".join(text)


def _target(path: Path) -> str:
    """Return the dotted path that a config of a strategy names."""
    try:
        node = OmegaConf.to_container(OmegaConf.load(path))
        target = node["_target_"]  # type: ignore[index,call-overload]  # whatever it is, the error names the file
    except Exception as error:
        raise ConfigError(f"{path} must have a _target_: my_module.my_strategy") from error
    return str(target)
