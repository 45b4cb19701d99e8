"""Settings that are misspelt: each is answered by one sentence that says what to type."""

import sys

import pytest
from hydra._internal.utils import get_args_parser

from activeloop.app import main
from activeloop.arguments import hydra_parser

LIST = "a list is written 'data.classes=[cat,dog]'"
NO_SETTING = (
    "'foo' is no setting: expected key=value; a value with spaces is written in quotes, as in "
    "'data.root=\"my photos\"'"
)
ENTROPY = "strategy.sampling, strategy.beta, strategy.temperature"


@pytest.fixture
def said(tmp_path, monkeypatch, refused):
    """Return a function that runs a command line which must fail, and what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        line = refused(*words)
        assert not list(tmp_path.rglob("run.db"))
        return line

    return run


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        # Options of groups.
        ("strategy=bagde", "there is no strategy=bagde: did you mean strategy=badge?"),
        ("-m strategy=margin,bagde", "there is no strategy=bagde: did you mean strategy=badge?"),
        ("strategy=[margin,bagde]", "there is no strategy=bagde: did you mean strategy=badge?"),
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
        (
            "label data.root=x initial=file initial.path=y.csv",
            "a run that people label starts with what they are asked: start it without "
            "initial=file, stop it (Ctrl-C), and python -m activeloop import DIR FILE gives it "
            "labels that are there already",
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
        (
            "hydra.run.dir=",
            "hydra.run.dir= names no directory: give one, as in hydra.run.dir=outputs/first",
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
        ("seed=1,2", "seed=1,2 is several values: -m makes a run of each, or give one"),
        ("seed=range(3)", "seed=range(3) is several values: -m makes a run of each, or give one"),
        (
            "label data.root=x data.classes=cat,dog",
            "people label one run at a time, and data.classes=cat,dog is several values: give one; "
            f"{LIST}",
        ),
        (
            "label data.root=x seed=1,2",
            "people label one run at a time, and seed=1,2 is several values: give one",
        ),
        (
            "label data.root=x query_size=5,9",
            "people label one run at a time, and query_size=5,9 is several values: give one; a "
            "list is written 'query_size=[5,9]'",
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
        (
            "data.root=/my,photos",
            "data.root=/my,photos is several values: one with a comma in it is written "
            "'data.root=\"/my,photos\"', a list is written 'data.root=[/my,photos]', and -m "
            "makes a run of each",
        ),
        (
            "-m seed=1,2,",
            "seed=1,2, cannot be read: it has a comma too many, did you mean seed=1,2?",
        ),
        (
            "-m seed=choice(1,2),3",
            "seed=choice(1,2),3 cannot be swept over: choice(...), range(...) and the like stand "
            "alone; several values are written one by one, as in seed=A,B,C",
        ),
        (
            '+x={a:[1,2],"b":3}',
            '+x={a:[1,2],"b":3} cannot be read: names within {} are written without quotes, as in '
            "'+x={a:[1,2],b:3}'",
        ),
        (
            "+x={a=3}",
            "+x={a=3} cannot be read: names and values are written as in '+x={name: A, other: B}'",
        ),
        (
            "data.classes=[a=b,cat]",
            "data.classes=[a=b,cat] cannot be read: a list is written 'data.classes=[\"a=b\",cat]'",
        ),
        # What the shell has cut.
        (
            "data.classes=[cat, ship]",
            "data.classes=[cat, ship] was cut at its spaces by the shell: write it in quotes, as "
            "in 'data.classes=[cat, ship]'",
        ),
        (
            "label data=image_folder data.classes=[a, b, c] data.root=x --no-browser",
            "data.classes=[a, b, c] was cut at its spaces by the shell: write it in quotes, as in "
            "'data.classes=[a, b, c]'",
        ),
        (
            "label data=image_folder data.root=my photos",
            "'photos' is neither a setting (key=value) nor the directory of a run; a value with "
            "spaces is written in quotes, as in 'data.root=\"my photos\"'",
        ),
        # What is to be taken away.
        ("~learner.lrr", "there is no setting learner.lrr, which ~ is to take away"),
        ("-m seed=1 ~learner.lrr", "there is no setting learner.lrr, which ~ is to take away"),
        # Options.
        ("--info query_sise=3", "there is no setting query_sise: did you mean query_size?"),
        ("label data.root=x --prt 80", "there is no option --prt: did you mean --port?"),
        (
            "label data.root=x --port 99999",
            "--port must be a whole number from 0 to 65535, got 99999",
        ),
        ("report --frce x", "there is no option --frce: --help lists those that there are"),
        (
            "--conf x",
            "activeloop: ambiguous option: --conf could match --config-path, --config-name, "
            "--config-dir",
        ),
        ("-m foo", NO_SETTING),
        ("seed=1 -m foo", NO_SETTING),
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


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("query_size=abc", "query_size must be a whole number of at least 1, got 'abc'"),
        ("initial.size=0", "initial.size must be a whole number of at least 1, got 0"),
        ("budget=1.5", "budget must be a whole number of at least 1, got 1.5"),
        ("audit=2", "audit must be a number at least 0 and at most 1, got 2.0"),
        ("stop_set=-1", "stop_set must be a whole number of at least 0, got -1"),
        (
            "memory_limit=x",
            "memory_limit must be a number of bytes such as 512MiB or 4GiB, got 'x'",
        ),
        ("neighbors.recall=2", "neighbors.recall must be a number above 0 and at most 1, got 2.0"),
        ("learner.lr=-1", "learner.lr must be a number above 0, got -1"),
        (
            "embed=pca embed.dimensions=0",
            "embed.dimensions must be a whole number of at least 1, got 0",
        ),
        ("embed=pca embed.fit_on=x", "embed.fit_on must be a whole number of at least 1, got 'x'"),
        ("embed=backbone embed.size=-3", "embed.size must be a whole number of at least 1, got -3"),
        (
            "embed=backbone embed.batch_size=0",
            "embed.batch_size must be a whole number of at least 1, got 0",
        ),
        (
            "embed=backbone embed.weights=none.pt",
            "embed.weights=none.pt: there is no such file",
        ),
        (
            "embed=file embed.pool=none.npy",
            "embed.pool=none.npy cannot be read: [Errno 2] No such file or directory: 'none.npy'",
        ),
    ],
)
@pytest.mark.parametrize("command", ["", "label "])
def test_settings_are_checked_before_the_images_are_read(
    said, monkeypatch, command, wrong, sentence
):
    monkeypatch.setattr("activeloop.loading.read_data", lambda config: pytest.fail("it was read"))
    words = f"{command}data=image_folder data.root=x {wrong}"
    assert said(*words.split()).endswith(sentence)


@pytest.mark.parametrize("words", [["--config-dir=mine"], ["-cd=mine"], ["--config-di", "mine"]])
def test_an_experiment_of_ones_own_is_found_however_its_folder_is_given(said, tmp_path, words):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "tiny.yaml").write_text("# @package _global_\nseed: -7\n")
    assert said("experiment=tiny", *words).endswith("at least 0, got -7")


def test_a_setting_that_is_taken_away_may_come_first(said):
    assert "seed" in said("~seed", "query_size=0")


def test_embed_says_how_it_is_used(typed):
    code, out, _ = typed("embed", "--help")
    assert code == 0
    assert "[key=value ...]" in out


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
    def of(parser):
        return {tuple(a.option_strings): (a.nargs, a.choices, a.const) for a in parser._actions}

    ours, theirs = of(hydra_parser()), of(get_args_parser())
    version = ("--version",)  # prints it and leaves
    assert ours | {version: None} == theirs | {version: None}
