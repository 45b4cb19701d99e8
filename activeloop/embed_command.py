"""`python -m activeloop embed`: make the vectors of a data set and keep them, without a run.

Imports nothing heavy before it knows what it is to do.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from activeloop.arguments import Parser
from activeloop.config import composed, register, without_hydra
from activeloop.errors import ConfigError


def embed(arguments: Sequence[str]) -> None:
    """Embed what the overrides `arguments` say, as in `data=digits embed=backbone`.

    The same command may be given several times at once, on one machine or on several that share
    the folder: each takes parts that nobody has yet, and all end when everything is there.

    Raises:
        ConfigError: the overrides have no meaning, or what is embedded would not be kept.
    """
    overrides = _parser().parse_args(list(arguments)).overrides
    from activeloop.building import check_complete
    from activeloop.loading import build_data

    register()
    config = without_hydra(composed(overrides))
    check_complete(config)
    settings: Any = OmegaConf.to_container(config.embed, resolve=True)
    if settings.get("cache") is None:
        raise ConfigError(
            "embed keeps the vectors of embed=backbone: give embed=backbone, and leave its "
            "embed.cache"
        )
    form = "%(levelname)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stdout, force=True)
    data = build_data(config).data
    assert data.embeddings is not None
    samples, width = data.embeddings.shape
    print(f"{data.name}: the pool is {samples:,} vectors of {width}")


def _parser() -> Parser:
    parser = Parser(
        "activeloop embed",
        description="Make the vectors of a data set by a frozen network and keep them for runs. "
        "Several of this command may be at it at once.",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="settings of a run, as in data=image_folder data.root=photos embed=backbone",
    )
    return parser
