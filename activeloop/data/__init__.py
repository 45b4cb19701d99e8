"""Data sets: each builder reads one and returns what the loop sees, and the hidden labels."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any

from activeloop.data.ahead import raw_batches
from activeloop.data.bundled import digits
from activeloop.data.folder import image_folder
from activeloop.data.items import from_dataset
from activeloop.data.numeric import arrays
from activeloop.data.prepare import PoolOptions
from activeloop.data.samples import NumberedKeys, TensorSamples
from activeloop.data.vision import PUBLISHED, torchvision_data
from activeloop.errors import ConfigError
from activeloop.types import Data, HiddenLabels

__all__ = [
    "NumberedKeys",
    "PoolOptions",
    "TensorSamples",
    "arrays",
    "digits",
    "from_dataset",
    "image_folder",
    "load_data",
    "raw_batches",
    "torchvision_data",
]

BUILDERS: dict[str, Callable[..., tuple[Data, HiddenLabels]]] = {
    "digits": digits,
    **{name: partial(torchvision_data, name) for name in PUBLISHED},
    "image_folder": image_folder,
    "arrays": arrays,
    "dataset": from_dataset,
}


def load_data(name: str, **options: Any) -> tuple[Data, HiddenLabels]:
    """Return the data set that the configuration `data=name` means, with its options.

    Raises:
        ConfigError: if there is no such data set, or no such option.
        DataError: if it cannot be read.
    """
    if name not in BUILDERS:
        close = difflib.get_close_matches(name, BUILDERS, n=1)
        hint = f" (closest: {close[0]})" if close else ""
        raise ConfigError(f"data must be one of {', '.join(BUILDERS)}, got {name!r}{hint}")
    return BUILDERS[name](**options)
