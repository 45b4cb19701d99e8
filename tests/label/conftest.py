"""Desks that are closed when their test is over."""

import pytest
from desks import Desks


@pytest.fixture
def new_desks(tmp_path):
    """Return a function that makes desks of a run that is kept in a directory."""
    made = []

    def make(*given, directory=tmp_path, **options):
        made.append(Desks(directory, *given, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def desks(new_desks):
    """Return the desks of a run of 90 samples."""
    return new_desks()
