"""Lists in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def listed(words: Sequence[str], most: int = 8) -> str:
    """Return `a, b and c`; of very many the first, and how many more."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def quoted(name: str) -> str:
    """Return a name as it stands in a list: in quotes if it holds a comma."""
    return f"'{name}'" if "," in name else name


def named(names: Iterable[str], most: int = 8) -> str:
    """Return names as `listed` does, so that one that holds a comma is not taken for two."""
    return listed([quoted(name) for name in names], most)


def numbered(seeds: Iterable[int]) -> str:
    """Return `seed 2`, or `seeds 0, 1 and 4 to 9`."""
    ascending = sorted(seeds)
    stretches: list[list[int]] = []
    for seed in ascending:
        if stretches and seed == stretches[-1][-1] + 1:
            stretches[-1].append(seed)
        else:
            stretches.append([seed])
    parts: list[str] = []
    for each in stretches:
        parts += [f"{each[0]} to {each[-1]}"] if len(each) > 2 else map(str, each)
    return f"seed{'s' if len(ascending) > 1 else ''} {listed(parts)}"
