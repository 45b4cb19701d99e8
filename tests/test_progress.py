import io

from rich.console import Console

from activeloop import progress
from activeloop.progress import Counting, Progress, duration, result_table
from activeloop.types import Epoch, Round


def console(**options):
    return Console(file=io.StringIO(), width=100, highlight=False, **options)


def done(number, **metrics):
    seconds = {"train_seconds": 1.0, "predict_seconds": 0.25, "test_seconds": 0.25}
    metrics = {"accuracy": 0.9, "loss": 0.5, "select_seconds": 0.0} | seconds | metrics
    return Round(round=number, labels=20 + 10 * number, classes=2, metrics=metrics)


def test_plain_lines_without_a_terminal_say_round_accuracy_and_time_left():
    screen = console()
    with Progress([20, 30, 40], console=screen) as progress:
        progress.on_epoch(Epoch(number=1, of=2, loss=0.1, accuracy=0.5))
        progress.on_round(done(0), None)
        progress.on_round(done(1), None)
        progress.on_round(done(2), None)
    lines = screen.file.getvalue().splitlines()
    assert lines[0].startswith("round 0 of 2: 20 labels, accuracy 90.00%, loss 0.5, 1.5 s, about ")
    assert lines[2] == "round 2 of 2: 40 labels, accuracy 90.00%, loss 0.5, 1.5 s"
    assert len(lines) == 3
    assert "\x1b" not in screen.file.getvalue()


def test_without_test_labels_the_audit_is_shown():
    screen = console()
    audit = {"audit_accuracy": 0.75, "audit_low": 0.5, "audit_high": 0.9, "audit_labels": 8.0}
    blind = Round(round=1, labels=30, classes=2, metrics={"train_seconds": 1.0, **audit})
    with Progress([20, 30], console=screen) as progress:
        progress.on_round(blind, None)
        progress.on_round(done(1, **audit), None)
    one, other = screen.file.getvalue().splitlines()
    assert "30 labels, accuracy of round 0 by audit 75.0% (50.0% to 90.0%, 8 labels), 1.0 s" in one
    assert "audit" not in other


def test_a_terminal_sees_epochs_as_they_go():
    screen = console(force_terminal=True)
    with Progress([20, 30], console=screen) as progress:
        progress.on_epoch(Epoch(number=3, of=7, loss=0.1, accuracy=0.5))
        progress._bar.refresh()
    assert "round 0 of 1, epoch 3 of 7, training accuracy 50.0%" in screen.file.getvalue()


def test_long_rounds_speak_now_and_then_without_a_terminal(monkeypatch):
    monkeypatch.setattr("activeloop.progress._QUIET", -1.0)
    screen = console()
    with Progress([20], console=screen) as progress:
        progress.on_epoch(Epoch(number=3, of=7, loss=0.1, accuracy=0.5))
    assert "epoch 3 of 7" in screen.file.getvalue()


def test_the_table_shows_each_round_and_what_is_missing_stays_empty():
    screen = console()
    rounds = [done(0), Round(round=1, labels=30, classes=2, metrics={"validation_labels": 5.0})]
    result_table(rounds, screen)
    text = screen.file.getvalue()
    assert "90.00%" in text
    assert "30 labels to train on and 5 to validate: 35 in all" in text


def test_durations():
    assert [duration(s) for s in (8.4, 150, 7500)] == ["8 s", "2 min", "2 h 05 min"]


def test_counting_says_how_much_is_left_now_and_then(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    screen = console()
    with Counting("embedding the pool", 5000, screen) as tell:
        for second, done in ((0, 1000), (10, 2000), (40, 3000), (50, 4000), (90, 5000)):
            clock[0] = second
            tell(done)
    # What was there at first is no measure of speed: 2,000 took 40 s.
    assert screen.file.getvalue().splitlines() == [
        "embedding the pool: 3,000 of 5,000, about 40 s left",
        "embedding the pool: 5,000 of 5,000",
    ]
