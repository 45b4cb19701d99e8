"""`strategy._target_=` and its like: code of one's own goes by no other's name.

Runs, tables and figures are named by the option that was chosen. `strategy=random` with a target of
one's own would be shown as random.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hydra.core.override_parser.types import ChoiceSweep, Override

from activeloop.errors import ConfigError

# Groups that have an option `custom`, whose target is the user's to give.
GROUPS = ("strategy", "model", "stopping", "tracker")
_OWN = "custom"


def check_targets(overrides: Sequence[Override]) -> None:
    """See that a target is given to the option `custom` only, as far as the command line tells.

    Raises:
        ConfigError: it is given to another one, alone or as a job of a sweep.
    """
    given = {override.key_or_group: override for override in overrides}
    for group in GROUPS:
        if f"{group}._target_" not in given:
            continue
        if group in given:
            for choice in _choices(given[group]):
                _check(group, choice, given[group].is_sweep_override())
        elif "experiment" not in given:  # else it is known when that is composed
            _check(group, f"the default {group}")


def check_composed(overrides: Iterable[str], choices: Mapping[str, object]) -> None:
    """See the same of a config that is composed.

    Args:
        overrides: of the run.
        choices: the option of each group.

    Raises:
        ConfigError: as `check_targets`.
    """
    for override in overrides:
        group, _, key = override.lstrip("+").partition("=")[0].partition(".")
        if key == "_target_" and group in GROUPS:
            _check(group, str(choices.get(group)))


def _choices(override: Override) -> list[str]:
    """Return what is chosen of a group; nothing where that cannot be told yet."""
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    chosen = override.value()
    return [str(each) for each in chosen.list] if isinstance(chosen, ChoiceSweep) else []


def _check(group: str, choice: str, swept: bool = False) -> None:
    if choice == _OWN:
        return
    said = (
        f"{group}._target_= is code of your own, and would be shown as {choice}: it goes with "
        f"{group}={_OWN}"
    )
    if swept:
        said += (
            f" alone; to sweep it beside others, name it in a file, my_conf/{group}/mine.yaml, and "
            f"add --config-dir my_conf {group}={choice},mine"
        )
    raise ConfigError(said)
