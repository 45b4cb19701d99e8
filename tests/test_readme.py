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
@pytest.mark.parametrize("command", commands(), ids=lambda each: each.text[:100])
def test_readme_command(workplace, request, command):
    text = command.text
    if "hydra/launcher=joblib" in text:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="activeloop[sweep]")
    for extra, package in (("tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        if f"tracker={extra}" in text:
            pytest.importorskip(package, reason=f"activeloop[{extra}]")
    # Other tests run beside it: a thread each.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    if needs_real_data(command.mark):
        few = request.getfixturevalue("few_of_mnist")  # or skip
        environment["ACTIVELOOP_TEST_DATA"] = str(few)
    done = readme.run(command, workplace, environment)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    if "notebook_table" in text:
        assert done.stdout.count("| `") == 5


@pytest.mark.slow
def test_the_five_minutes_of_labelling(tmp_path):
    pytest.importorskip("uvicorn", reason="activeloop[label]")
    for name, number in (("photos", 60), ("photos2", 10)):
        readme.make_photos(tmp_path / name, number)
        readme.flatten(tmp_path / name)
    for command in commands(readme.LABELLING):
        done = readme.run(command, tmp_path, {"OMP_NUM_THREADS": "1", **os.environ})
        assert done.returncode == 0, done.stderr
        assert not done.stderr.strip(), done.stderr
    kept = tmp_path / "outputs" / "label" / "photos"
    assert {"labels.csv", "model.safetensors", "report.html"} <= {p.name for p in kept.iterdir()}
    predictions = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert len(predictions) == 20
    right = sum(line.startswith(line.split(",")[1]) for line in predictions)
    assert right >= 18  # cats are dark, dogs are bright
    assert sum(1 for _ in (tmp_path / "sorted").glob("*/*.jpg")) >= 40
