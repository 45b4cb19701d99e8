"""Every command and every piece of code in the README is run, in the order in which it stands."""

from __future__ import annotations

import pytest
from readme import blocks, commands, needs_real_data


def test_no_command_and_no_code_is_left_out():
    for block in blocks():
        assert block.mark or block.language == "toml", block.text
    marks = [block.mark for block in blocks()]
    assert marks.count("ci: run") == marks.count("ci: test") == 1  # .ci/run runs these two


@pytest.mark.slow
@pytest.mark.timeout(900)  # it may wait for the commands before it
@pytest.mark.parametrize(("mark", "text"), commands(), ids=lambda value: value[:60])
def test_readme_command(readme_runs, request, mark, text):
    if "hydra/launcher=joblib" in text:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="activeloop[sweep]")
    for extra, package in (("tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        if f"tracker={extra}" in text:
            pytest.importorskip(package, reason=f"activeloop[{extra}]")
    if needs_real_data(mark):
        request.getfixturevalue("real_data")  # or skip
    done = readme_runs[mark, text].result()
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    if "notebook_table" in text:
        assert done.stdout.count("| `") == 5
