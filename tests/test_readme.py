"""Every command and every piece of code in the README is run, in the order in which it stands."""

from __future__ import annotations

import os

import pytest
import readme
from readme import blocks, commands, needs_real_data


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, own_cache):
    """Where the README's commands run, each after those before it."""
    folder = tmp_path_factory.mktemp("readme")
    readme.make_workplace(folder)
    return folder


def test_no_command_and_no_code_is_left_out():
    for block in blocks():
        assert block.mark or block.language == "toml", block.text
    marks = [block.mark for block in blocks()]
    assert marks.count("ci: run") == marks.count("ci: test") == 1  # .ci/run runs these two


@pytest.mark.slow
@pytest.mark.parametrize(("mark", "text"), commands(), ids=lambda value: value[:60])
def test_readme_command(workplace, request, mark, text):
    if "hydra/launcher=joblib" in text:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="activeloop[sweep]")
    for extra, package in (("tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        if f"tracker={extra}" in text:
            pytest.importorskip(package, reason=f"activeloop[{extra}]")
    if needs_real_data(mark):
        request.getfixturevalue("real_data")  # or skip
    # Other tests run beside it: a thread each.
    done = readme.run(mark, text, workplace, {"OMP_NUM_THREADS": "1", **os.environ})
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    if "notebook_table" in text:
        assert done.stdout.count("| `") == 5
