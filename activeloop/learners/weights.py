"""Weights on disk: safetensors, which hold numbers and nothing that runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from activeloop.errors import LearnerError

# One entry: safetensors writes several in any order, and equal weights should be equal files.
METADATA = "activeloop"


def write_weights(path: Path, modules: Sequence[nn.Module], metadata: Mapping[str, str]) -> bool:
    """Write all weights and buffers of `modules` so that a crash leaves the old file or the new.

    Returns:
        False, and writes nothing, where a module keeps a state that is not a tensor.
    """
    tensors: dict[str, Tensor] = {}
    for position, module in enumerate(modules):
        for name, value in module.state_dict().items():
            if not isinstance(value, Tensor):
                return False
            # A copy each: safetensors refuses weights that two layers share.
            tensors[f"{position}.{name}"] = value.detach().cpu().clone().contiguous()
    # The same name each time: one that a crash left is written over when the round is done again.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(save(tensors, {METADATA: json.dumps(dict(metadata))}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def read_metadata(path: Path) -> dict[str, str]:
    """Return what `write_weights` got as metadata.

    Raises:
        LearnerError: the file is damaged, or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = file.metadata() or {}
            return dict(json.loads(stored.get(METADATA, "{}")))
    except (SafetensorError, OSError, ValueError) as error:
        raise LearnerError(f"{path} cannot be read as weights: {error}") from error


def read_weights(path: Path, modules: Sequence[nn.Module]) -> None:
    """Put the weights in `path` into `modules`.

    Raises:
        LearnerError: names or shapes differ from those of `modules`.
    """
    with safe_open(path, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    for position, module in enumerate(modules):
        start = f"{position}."
        state = {name[len(start) :]: t for name, t in stored.items() if name.startswith(start)}
        own = module.state_dict()
        wrong = [n for n in own.keys() | state.keys() if _shape(own, n) != _shape(state, n)]
        if wrong:
            name = min(wrong)
            raise LearnerError(
                f"{path} holds the weights of another network: {name} has shape "
                f"{_shape(state, name)} there and {_shape(own, name)} here "
                f"({len(wrong)} of {len(own.keys() | state.keys())} tensors differ)"
            )
        module.load_state_dict(state)


def _shape(tensors: Mapping[str, Tensor], name: str) -> list[int] | None:
    return list(tensors[name].shape) if name in tensors else None
