"""Options that have no meaning are said before anything is trained."""

import logging
import warnings

import pytest
import torch
from fakes import CentroidLearner, blobs
from test_testing import MADE_WITH

from activeloop import ActiveLoop, Initial, load_strategy
from activeloop.errors import ConfigError
from activeloop.rehearsal import rehearse
from activeloop.strategies import CATALOG


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("max_herding", {"radius": -1}, "strategy.radius must be a number above 0, got -1"),
        ("cal", {"m": 0}, "m, the number of neighbours, must be a whole number"),
        ("batchbald", {"configurations": 0}, "strategy.configurations must be a whole number"),
        ("probcover", {"references": 0}, "strategy.references must be a whole number"),
    ],
)
@pytest.mark.parametrize("where", ["strategy", "initial"])
def test_a_number_out_of_range_is_said_before_anything_is_made(
    name, options, message, where, tmp_path
):
    bad, (data, _) = load_strategy(name, **options), blobs()
    given = {"strategy": load_strategy("random"), "initial": 6, where: bad}
    if where == "initial":
        given["initial"] = Initial(size=6, strategy=bad)
    with pytest.raises(ConfigError, match=message):
        ActiveLoop(
            data,
            CentroidLearner(),
            given["strategy"],
            initial=given["initial"],
            rounds=2,
            directory=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(set(CATALOG) - {"replay"}))
def test_what_has_a_meaning_passes_unheard(name, caplog):
    strategy = load_strategy(name, **MADE_WITH.get(name, {}))
    state = torch.get_rng_state()
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        rehearse(strategy)
    assert not caplog.records, "it failed on the samples of the rehearsal"
    assert torch.equal(torch.get_rng_state(), state)
    assert logging.root.manager.disable == logging.NOTSET


def test_what_others_wrote_is_not_called():
    calls = []
    rehearse(calls.append)
    rehearse(lambda context: calls.append(context))
    assert not calls
