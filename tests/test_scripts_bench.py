"""The benchmark scripts run, at sizes that tell nothing, and write the tables that they promise."""

import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(monkeypatch, capfd):
    """Return what runs a script in this process, which has imported what takes seconds."""
    monkeypatch.delenv("ACTIVELOOP_TEST_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # a script that finds another number starts anew
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))  # of those it starts
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def call(script, *words):
        words = [str(ROOT / "scripts" / script), *map(str, words)]
        monkeypatch.setattr(sys, "argv", words)
        capfd.readouterr()
        code = 0
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as ended:
            code = ended.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
        return subprocess.CompletedProcess(words, code, *capfd.readouterr())

    return call


def start(script, *words):
    """Run a script in a process of its own: it forks, looks at its memory, or sets a constant."""
    environment = {k: v for k, v in os.environ.items() if k != "ACTIVELOOP_TEST_DATA"}
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *map(str, words)],
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def cells(text, first):
    lines = [line for line in text.splitlines() if line.startswith(f"| {first}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_the_report_of_a_large_sweep_is_timed(run, tmp_path):
    out = tmp_path / "report.md"
    done = run("bench_report.py", "--seeds", 2, "--rounds", 3, "--query-size", 10, "--out", out)
    assert done.returncode == 0, done.stderr
    ((runs, seconds, *rest),) = cells(out.read_text(), "20 ")
    assert (runs, len(rest)) == ("20", 4)
    assert number(seconds) > 0


def number(cell):
    return float(re.match(r"[\d.e+-]+", cell)[0])


@pytest.mark.slow
def test_every_side_of_a_job_has_a_line_with_time_memory_and_objective(run, tmp_path):
    out = tmp_path / "table.md"
    size = ("--pool", 400, "--features", 8, "--classes", 3, "--labelled", 20, "--repeats", 1)
    who = "activeloop,scikit-learn,faiss flat,modAL"
    done = run(
        *("bench_strategies.py", *size, "--jobs", "neighbors,margin", "--sides", who),
        *("--out", out),
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert "400 x 8 features, 3 classes, 20 labelled: a Gaussian mixture" in text
    assert "scikit-learn 1." in text
    found = {row[0].partition(":")[0]: row for row in cells(text, "")}
    for side in ("scikit-learn", "faiss flat"):
        _, cpu, wall, times, memory, recall = found[side]
        assert all(number(cell) > 0 for cell in (cpu, wall, times))
        assert number(memory) >= 0
        assert number(recall) > 0.9
    (exact,) = cells(text, "activeloop: neighbors")
    assert (exact[3], exact[5]) == ("1", "1")
    # Whoever is not installed is named, not left out.
    (modal,) = cells(text, "modAL: margin_sampling")
    assert modal[1] == "not installed: modAL" or number(modal[1]) > 0
    assert out.with_suffix(".png").stat().st_size > 1000


@pytest.mark.slow
def test_too_little_time_and_memory_are_said_in_the_table(run, tmp_path):
    size = ("--pool", 6000, "--features", 8, "--classes", 3, "--labelled", 20, "--repeats", 1)
    only = ("--jobs", "neighbors", "--sides", "scikit-learn")
    late = run("bench_strategies.py", *size, *only, "--timeout", 0.001)
    assert late.returncode == 0, late.stderr
    assert {row[1] for row in cells(late.stdout, "scikit-learn: ")} == {"over 0.001 s"}
    only = ("--jobs", "k_means", "--sides", "textbook loop")
    small = run("bench_strategies.py", *size, *only, "--memory-limit", 0.0005)
    assert small.returncode == 0, small.stderr
    assert {row[1] for row in cells(small.stdout, "textbook loop: ")} == {"out of memory"}


@pytest.mark.slow
def test_growth_has_a_cell_for_each_size_and_an_exponent(run, tmp_path):
    out = tmp_path / "scale.md"
    names = ("neighbor_kl", "margin:sampling=power,beta=2", "no_such")
    done = run(
        *("bench_scale.py", "--sizes", "1000,4e3", "--features", 8, "--strategies", *names),
        *("--work", tmp_path / "pool", "--out", out),
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    times, processor, memory = cells(text, "neighbor_kl")
    assert all(number(cell) > 0 for cell in [*times[1:3], *processor[1:]])
    assert all(re.fullmatch(r"\d+ / \d+", cell) for cell in memory[1:])
    assert cells(text, "strategy")[0] == ["strategy", "1,000", "4,000", "exponent"]
    assert cells(text, "margin:sampling=power,beta=2")[0][1].endswith("s")
    assert cells(text, "no_such")[0][1:3] == ["not there", "not there"]
    assert out.with_suffix(".png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("bench_strategies", ["--jobs", "nap"], "there is no job 'nap'; there are k_center"),
        ("bench_strategies", ["--sides", "nobody"], "there is no side 'nobody'; there are"),
        ("bench_strategies", ["--labelled", "900", "--pool", "1000"], "at most half of --pool"),
        ("bench_strategies", ["--out", "no/such/table.md"], "there is no folder no/such"),
        ("bench_scale", ["--sizes", "1e4,many"], "'many' is not a number"),
        ("bench_scale", ["--sizes", "10"], "at least 100 samples"),
        ("bench_scale", ["--strategies", "margin:beta"], "should be option=value"),
        ("bench_labels", ["--labels", "0"], "must be at least 1"),
        ("fault_test", ["--every", "0"], "--every, --every-cut and --jobs must be at least 1"),
        ("fault_test", ["--work", str(ROOT)], "is not empty"),
    ],
)
def test_misuse_is_explained(monkeypatch, capsys, script, words, said):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(script).parsed(words)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_whole_runs_on_arrays_are_timed(run, tmp_path):
    out = tmp_path / "million.md"
    strategies = ["margin", "seals embed=file embed.as_input=false embed.pool={work}/x.npy"]
    options = ["--rows", 2000, "--features", 32, "--threads", 1, "--work", tmp_path, "--out", out]
    done = run("bench_million.py", *options, "--strategies", *strategies)
    assert done.returncode == 0, done.stderr
    for name in ("`margin`", "`seals`"):
        ((_, *_, memory, labels, accuracy),) = cells(out.read_text(), name)
        assert number(memory) > 50
        assert labels == "30"
        assert number(accuracy) > 20  # ten classes
    assert "\\* `strategy=seals embed=file" in out.read_text()
    failed = run("bench_million.py", *options, "--strategies", "margni")
    assert failed.returncode
    assert "margni" in failed.stderr


@pytest.mark.slow
def test_a_loop_is_timed_by_part(run, tmp_path, few_of_mnist):
    out = tmp_path / "loop.md"
    size = ("--root", few_of_mnist, "--labels", 200, "--repeats", 1)
    done = run("bench_loop.py", *size, "--sides", "activeloop", "--out", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert out.with_suffix(".png").stat().st_size > 5000
    ((_, wall, times, _, *parts, _, accuracy),) = cells(text, "activeloop |")
    assert times == "1"
    assert sum(map(float, parts)) == pytest.approx(number(wall), abs=0.05)
    assert 30 < number(accuracy) < 100
    # 5 x 5 convolutions to 6 and 16 channels, at 24 x 24 and 8 x 8 places; then 256-120-84-10.
    (million,) = re.findall(r"One image: ([\d.]+) million operations", text)
    convolutions = 25 * 6 * 24 * 24 + 25 * 6 * 16 * 8 * 8
    dense = 256 * 120 + 120 * 84 + 84 * 10
    assert float(million) == pytest.approx(2 * (convolutions + dense) / 1e6, rel=0.01)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which is tried by hand")
def test_without_a_gpu_the_gpu_benchmark_ends_politely(run):
    done = run("bench_gpu.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no CUDA GPU" in done.stdout


def test_a_round_of_every_probe_is_timed(run, tmp_path):
    out = tmp_path / "probe.md"
    size = ("--rows", 400, "--features", 16, "--labels", 60, "--repeats", 1, "--threads", 1)
    done = run("bench_probe.py", *size, "--out", out)
    assert done.returncode == 0, done.stderr
    for name in ("`learner=probe`", "`learner.head=mlp`", "scikit-learn, plain"):
        ((_, *seconds, accuracy),) = cells(out.read_text(), name)
        assert len(seconds) == 4
        assert all(number(cell) > 0 for cell in seconds)
        assert number(accuracy) > 10  # ten classes
    few = run("bench_probe.py", *size, "--labels", 5)
    assert few.returncode == 2
    assert "--labels must be from 10" in few.stderr


@pytest.mark.slow
def test_reading_of_images_is_timed(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for red in range(20):
            path = tmp_path / "photos" / name / f"{red}.jpg"
            Image.new("RGB", (9, 9), (red, 0, 0)).save(path)
    out = tmp_path / "data.md"
    size = ["--images", 30, "--size", 8, "--batch", 7, "--workers", 2]
    done = start("bench_data.py", "--root", tmp_path / "photos", *size, "--out", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert len(cells(text, "decode into")) == 4
    assert len(cells(text, "in order")) == len(cells(text, "at random")) == 3
    assert all(number(row[2]) > 0 for row in [*cells(text, "find"), *cells(text, "at random")])
    wrong = start("bench_data.py", "--root", tmp_path / "nowhere")
    assert wrong.returncode == 2
    assert "there is no folder" in wrong.stderr


@pytest.mark.slow
def test_every_way_to_run_several_seeds_has_a_line_and_the_same_accuracy(
    run, tmp_path, few_of_mnist
):
    out = tmp_path / "table.md"
    size = ("--seeds", 2, "--rounds", 0, "--steps", 5, "--pool", 300, "--repeats", 1)
    done = run("bench_seeds.py", "--root", few_of_mnist, "--models", "linear", *size, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = cells(out.read_text(), "linear")
    ways = ["one seed", "threads", "stacked", "one after another", "processes"]
    assert [row[1] for row in lines] == ways
    assert len({row[6] for row in lines[1:]}) == 1
    assert all(number(row[2]) > 0 and number(row[4]) > 0 for row in lines)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it forks, and reads /proc")
def test_runs_and_the_server_of_the_label_page_are_killed_and_nothing_differs(tmp_path):
    pytest.importorskip("uvicorn")
    out = tmp_path / "faults.md"
    sample = ("--kills", 2, "--every", 60, "--every-cut", 100, "--starts", "warm")
    people = ("--label-seconds", 4, "--people", 3)
    done = start("fault_test.py", *sample, *people, "--losses", "nothing", "names", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no difference" in done.stdout
    instants, points, cuts = cells(out.read_text(), "warm")
    assert instants[1] == "killed at random instants"
    for _, _, trials, kills, *_, answers, lost, differing in (instants, points, cuts):
        assert int(kills) >= int(trials) > 0
        assert (lost, differing) == ("0", "0")
        assert number(answers.replace(",", "")) > 0
    ((_, acknowledged),) = cells(out.read_text(), "acknowledged answers")
    assert number(acknowledged.replace(",", "")) > 0


@pytest.mark.slow
def test_a_run_of_many_labels_is_timed(tmp_path):
    out = tmp_path / "labels.md"
    done = start(
        "bench_labels.py", "--labels", 300, "--sizes", 20, 100, "--repeats", 1, "--out", out
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert cells(text, "what")[0] == ["what", "15 rounds of 20", "3 rounds of 100"]
    whole = [
        f"`python -m activeloop export DIR --format {name}" for name in ("csv", "image-folder")
    ]
    parts = ("open the run", "keep a round", "keep one answer", "`export --format csv`")
    for name in (*parts, "a program that goes on", f"{whole[0]}`", f"{whole[1]}`"):
        ((_, *timed),) = cells(text, name)
        assert all(number(cell) > 0 for cell in timed)
