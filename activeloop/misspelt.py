"""Settings that are misspelt, each in one sentence: what Hydra and OmegaConf say, in our words.

Hydra reads the command line before anything of ours does, and speaks to who writes configs. This
is imported where something went wrong, and nowhere else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from activeloop.config import config_dir
from activeloop.overrides import several, unreadable

# What OmegaConf says of a value that is of another type, and what was expected.
_EXPECTED = {
    "could not be converted to Integer": "a whole number",
    "could not be converted to Float": "a number",
    "is not a valid bool": "true or false",
    "is not Optional": "something other than null",
    r"expected one of \[(.*)\]": "one of {}",
    r"Cannot assign \w+ to Dict|is not a subclass of \w+Config": "settings by name",
}

# What Hydra says otherwise.
_SENTENCES: dict[str, Callable[..., str]] = {
    r"Ambiguous value for argument '((.+?)=(.*))' 1\.": several,
    r"Sweep parameters '((.+?)=(.*))' requires": several,
    r"Multiple values for (\S+)\. To": "{0} is chosen already: write {0}=, without the +".format,
    r"An item is already at '(.+?)'": "there is a setting {0} already: leave out the +".format,
    r"force-add of config groups is not supported: '\++(.+)'": (
        "an option of a group is chosen without ++: {0}".format
    ),
    r"Could not override '(.+?)'\. Did you mean to override (.+?)\?": (
        "there is no group {0}: did you mean {1}?".format
    ),
    r"Could not delete from config\. '(.+)' does not exist": (
        "there is no setting {0}, which ~ is to take away".format
    ),
    r"Config group override must be a string or a list\.": (
        "a group, such as data= or strategy=, is given the name of an option, not a number or "
        "null; without an experiment, leave experiment= out".format
    ),
}


def told(error: BaseException) -> str | None:
    """Return what is wrong with a setting, and what to do; None: it is another kind of error."""
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, error.message)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _no_option(error.missing_cfg_file, error.options or ())
    if not isinstance(error, HydraException | OmegaConfBaseException | ValueError):
        return None
    text = " ".join(str(error).split())
    inner = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    line = re.search(r"(?:config use \+|merging override )(.*)", text)
    if isinstance(inner, ConfigKeyError | ConfigAttributeError) and line:
        return _no_setting(inner, line[1])
    if isinstance(inner, OmegaConfBaseException):
        return _wrong_value(inner, line[1] if line else "")
    for pattern, sentence in _SENTENCES.items():
        if found := re.search(pattern, text):
            return sentence(*found.groups())
    return None


def _no_option(path: str, options: Iterable[str]) -> str:
    """Return that a group has no such option; `path` is both."""
    group, slash, name = path.rpartition("/") if path[:6] == "hydra/" else path.partition("/")
    if not slash:
        return f"there is no config {path}"
    # Hydra does not say them of those that are given as a list.
    there = [*options] or sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    close = difflib.get_close_matches(name, there, 1)
    hint = f"did you mean {group}={close[0]}?" if close else f"there is {', '.join(there)}"
    return f"there is no {group}={name}: {hint}"


def _wrong_value(error: OmegaConfBaseException, line: str) -> str:
    """Return what was expected of a setting, and what it was given."""
    text = str(error.msg or error).partition("\n")[0]
    key = f"{error.full_key}" if error.full_key else line.partition("=")[0]
    for pattern, expected in _EXPECTED.items():
        if line and (found := re.search(pattern, text)):
            came = line.removeprefix(f"{key}=")
            return f"{key} must be {expected.format(*found.groups())}, got {came}"
    return f"{key}: {text}" if key else text


# -- settings that are not there --------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """An option of a group: its name, the names of its settings, and whether it is chosen."""

    name: str
    settings: frozenset[str]
    chosen: bool


def _no_setting(error: OmegaConfBaseException, line: str) -> str:
    """Return that there is no such setting, and which was meant or which there are.

    Args:
        error: knows the settings beside it, and through them all that there are.
        line: what was typed.
    """
    key = str(error.full_key or line.partition("=")[0])
    level = error.parent_node if isinstance(error.parent_node, DictConfig) else OmegaConf.create()
    prefix = key.rpartition(".")[0]
    options = _options(prefix, level)
    chosen = [option.name for option in options if option.chosen]
    said = f"there is no setting {key}{f' with {prefix}={chosen[0]}' if len(chosen) == 1 else ''}"
    beside = [f"{prefix}.{each}".lstrip(".") for each in _plain(level) if each != "hydra"]
    if _takes_more(key, level) and not _close(_last(key), beside):
        return f"{said}: +{line} adds it"
    if meant := _meant(key, beside, _paths(_plain(level._get_root())), options):
        return f"{said}: {meant}"
    if not prefix:
        return f"{said}: --help lists those that there are"
    shown = [each for each in beside if not each.endswith("._target_")]
    return f"{said}: there is {', '.join(shown) or 'none'}"


def _meant(
    key: str, beside: Sequence[str], everywhere: Sequence[str], options: Sequence[Option]
) -> str:
    """Return in words what is likely meant by `key`; nothing where nothing is."""
    group, _, name = key.rpartition(".")
    if having := [option.name for option in options if name in option.settings]:
        return f"{group}={any_of(having)} has it"
    same = [path for path in everywhere if _last(path) == name]
    if paths := same or _close(name, beside):
        return f"did you mean {any_of(paths)}?"
    settings = sorted({f"{group}.{each}" for option in options for each in option.settings})
    if close := _close(name, settings):
        having = [option.name for option in options if _last(close[0]) in option.settings]
        return f"did you mean {close[0]}, of {group}={any_of(having)}?"
    close = _close(name, everywhere)
    return f"did you mean {any_of(close)}?" if close else ""


def _close(name: str, paths: Sequence[str]) -> list[str]:
    """Return those of the paths that end in what is spelt most like `name`, if any is."""
    close = difflib.get_close_matches(name, map(_last, paths), 1, 0.7)
    return [path for path in paths if _last(path) in close]


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def any_of(words: Sequence[str]) -> str:
    """Return words as an enumeration."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _options(group: str, level: DictConfig) -> list[Option]:
    """Return the options of a group whose composed config is `level`; none if it is no group."""
    found, now = [], _plain(level)
    for path in sorted((config_dir() / group).glob("*.yaml")) if group else ():
        node = _plain(OmegaConf.load(path))
        for base in filter(lambda each: isinstance(each, str), node.pop("defaults", [])):
            if (file := path.with_name(f"{base}.yaml")).is_file():
                node = _plain(OmegaConf.load(file)) | node
        chosen = all(node.get(name) == now.get(name) for name in ("_target_", "name"))
        found.append(Option(path.stem, frozenset(node) - {"_target_"}, chosen))
    return found


def _plain(node: Any) -> dict[str, Any]:
    plain = OmegaConf.to_container(node, resolve=False)
    return {str(name): value for name, value in plain.items()} if isinstance(plain, dict) else {}


def _paths(node: Any, prefix: str = "") -> list[str]:
    """Return the dotted paths of all settings, Hydra's own left out."""
    if not isinstance(node, Mapping):
        return []
    paths = []
    for name, value in node.items():
        if name not in ("_target_", "hydra"):
            paths += [f"{prefix}{name}", *_paths(value, f"{prefix}{name}.")]
    return paths


def _takes_more(key: str, level: DictConfig) -> bool:
    """Return whether settings may be added: where a target of the user's takes them."""
    if len(level) == 0:
        return True
    target = _plain(level).get("_target_")
    return isinstance(target, str) and not target.startswith("activeloop.") and key[:6] != "hydra."
