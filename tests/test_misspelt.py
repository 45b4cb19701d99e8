"""Settings that are misspelt: each is answered by one sentence that says what to type."""

import sys

import pytest
from hydra._internal.utils import get_args_parser

from activeloop.app import main
from activeloop.arguments import HYDRA_OPTIONS

LIST = "a list is written 'data.classes=[cat,dog]'"
ENTROPY = "strategy.sampling, strategy.beta, strategy.temperature"


@pytest.fixture
def said(tmp_path, monkeypatch, capfd):
    """Return a function that runs a command line which must fail, and what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["activeloop", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        err = capfd.readouterr()[1]
        assert ended.value.code == 1
        assert len(err.splitlines()) == 1, err
        assert not list(tmp_path.rglob("run.db"))
        return err.removeprefix("error: ").rstrip()

    return run


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        # Options of groups.
        ("strategy=bagde", "there is no strategy=bagde: did you mean strategy=badge?"),
        ("-m strategy=margin,bagde", "there is no strategy=bagde: did you mean strategy=badge?"),
        ("data=imagefolder", "there is no data=imagefolder: did you mean data=image_folder?"),
        ("oracle=xyz", "there is no oracle=xyz: there is noisy, people, simulated"),
        (
            "label experiment=lable data.root=x",
            "there is no experiment 'lable': did you mean 'label'?",
        ),
        (
            "hydra/launcher=jobib",
            "there is no hydra/launcher=jobib: did you mean hydra/launcher=joblib?",
        ),
        (
            "strategy=3",
            "a group, such as data= or strategy=, is given the name of an option, not a number or "
            "null; without an experiment, leave experiment= out",
        ),
        # Settings.
        ("query_sise=20", "there is no setting query_sise: did you mean query_size?"),
        ("-m query_sise=20,30", "there is no setting query_sise: did you mean query_size?"),
        (
            "label query_sise=20 data.root=x",
            "there is no setting query_sise: did you mean query_size?",
        ),
        ("epochs=3", "there is no setting epochs: did you mean learner.epochs?"),
        ("quux=3", "there is no setting quux: --help lists those that there are"),
        ("neighbors.indx=ivf", "there is no setting neighbors.indx: did you mean neighbors.index?"),
        ("hydra.run.dirr=x", "there is no setting hydra.run.dirr: did you mean hydra.run.dir?"),
        (
            "learner.device=cpu",
            "there is no setting learner.device with learner=torch: did you mean device?",
        ),
        (
            "strategy.foo=1",
            f"there is no setting strategy.foo with strategy=entropy: there is {ENTROPY}",
        ),
        (
            "data.class=x",
            "there is no setting data.class with data=digits: did you mean data.classes, of "
            "data=arrays, dataset or image_folder?",
        ),
        (
            "strategy.threshold=1",
            "there is no setting strategy.threshold with strategy=entropy: strategy=deduplicate "
            "has it",
        ),
        # Added, where a target of the user's may take it.
        (
            "strategy=custom strategy.beta=2",
            "there is no setting strategy.beta with strategy=custom: +strategy.beta=2 adds it",
        ),
        (
            "learner=sklearn learner.options.C=3",
            "there is no setting learner.options.C: +learner.options.C=3 adds it",
        ),
        ("+seed=3", "there is a setting seed already: leave out the +"),
        ("+strategy=random", "strategy is chosen already: write strategy=, without the +"),
        # Values.
        ("seed=abc", "seed must be a whole number, got abc"),
        ("measures=perhaps", "measures must be true or false, got perhaps"),
        ("neighbors.recall=high", "neighbors.recall must be a number, got high"),
        ("hydra.mode=MULTRUN", "hydra.mode must be one of RUN, MULTIRUN, got MULTRUN"),
        # Several values.
        (
            "data.classes=cat,dog",
            f"data.classes=cat,dog is several values: {LIST}, and -m makes a run of each",
        ),
        (
            "strategy=margin,random",
            "strategy=margin,random is several values: -m makes a run of each, or give one",
        ),
        ("seed=range(3)", "seed=range(3) is several values: -m makes a run of each, or give one"),
        (
            "label data.root=x data.classes=cat,dog",
            "people label one run at a time, and data.classes=cat,dog is several values: give one; "
            f"{LIST}",
        ),
        # What Hydra cannot read.
        (
            "data.classes=[cat,]",
            "data.classes=[cat,] cannot be read: it has a comma too many, did you mean "
            "'data.classes=[cat]'?",
        ),
        (
            "label data.classes=[cat,dog",
            "data.classes=[cat,dog cannot be read: its [ is not closed; one word holds all of it, "
            "in quotes, as in 'data.classes=[cat,dog]'",
        ),
        ("data.classes=(cat,dog)", f"data.classes=(cat,dog) cannot be read: {LIST}"),
        ("seed=[1]]", "seed=[1]] cannot be read: its ] closes nothing"),
        (
            "strategy='margin",
            "strategy='margin cannot be read: its ' is not closed; one that is part of the value "
            "is written \\'",
        ),
        (
            "-m seed=range(a)",
            "seed=range(a) cannot be read: mismatch type argument start: str is incompatible with "
            "Union[int, float]",
        ),
        (
            "data.root=~/x",
            "data.root=~/x cannot be read: write the home directory out, as in data.root=$HOME/x",
        ),
        (
            "data.root=a=b",
            "data.root=a=b cannot be read: a value with such characters is written in quotes, as "
            "in 'data.root=\"a=b\"'",
        ),
        (
            "data.root=my photos",
            "'photos' is no setting: expected key=value; a value with spaces is written in quotes, "
            "as in 'data.root=\"my photos\"'",
        ),
        # Options.
        ("--multrun seed=1", "there is no option --multrun: did you mean --multirun?"),
        (
            "--seed=3",
            "there is no option --seed: settings are given without -, as in seed=3, and --help "
            "lists those that there are",
        ),
        (
            "resume seed=3",
            "resume goes on with a run's own settings: leave out seed=3; python -m activeloop "
            "branch begins a run with others from its labels",
        ),
    ],
)
def test_a_mistake_is_named_in_one_sentence(said, words, sentence):
    assert said(*words.split()) == sentence


def test_the_whole_traceback_is_there_for_who_wants_it(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["activeloop", "query_sise=20"])
    with pytest.raises(SystemExit):
        main()
    err = capfd.readouterr()[1]
    assert "Traceback" in err
    assert "ConfigCompositionException: Could not override 'query_sise'" in err


def test_options_that_may_be_given_are_those_that_hydra_has():
    theirs = {name for each in get_args_parser()._actions for name in each.option_strings}
    assert set(HYDRA_OPTIONS) == theirs
