"""What `python -m activeloop strategies` prints, and that the README's table is the same."""

import re
from pathlib import Path

import pytest

from activeloop.errors import ConfigError
from activeloop.listing import markdown
from activeloop.strategies import FAMILIES, About
from activeloop.strategies_command import strategies

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def list_strategies(capsys):
    """Return a function that gives the subcommand its words, and returns what it prints."""

    def call(words):
        strategies(words)
        return capsys.readouterr().out.removesuffix("\n")

    return call


def test_the_table_names_every_strategy_in_its_family_and_fits_100_columns(list_strategies):
    lines = list_strategies([]).splitlines()
    assert max(map(len, lines)) <= 100
    at = [lines.index(family) for family in FAMILIES]
    assert at == sorted(at)
    for family, members in FAMILIES.items():
        start = lines.index(family)
        end = lines.index("", start)
        names = [line.split()[0] for line in lines[start + 2 : end] if line[:1].strip()]
        assert names == list(members)


def test_a_row_says_what_is_asked_first_budget_needs_and_cost(list_strategies):
    lines = list_strategies([]).splitlines()
    row = next(line for line in lines if line.startswith("margin "))
    assert re.search(r"margin +Smallest gap between.* high +probs +O\(U C\)$", row)
    assert lines[0].split()[0] == "strategy"
    first = next(at for at, line in enumerate(lines) if line.startswith("seals "))
    wrapped = " ".join(lines[first : first + 3])
    assert all(need in wrapped for need in ("embeddings,", "neighbors,", "inner's"))


def test_one_in_full_with_its_paper_and_its_options(list_strategies):
    text = list_strategies(["seals"])
    for part in (
        "Coleman et al.",
        "Budget: any",
        "m: 100 # nearest",
        "space: embeddings",
        "Time: O(",
    ):
        assert part in text
    assert "conf/strategy/seals.yaml" in text
    assert "_target_: ???" in list_strategies(["custom"])
    assert "(context" in list_strategies(["activeloop.strategies.uniform.random"])


def test_mistakes(list_strategies):
    with pytest.raises(ConfigError, match="'entrpy': did you mean 'entropy'"):
        list_strategies(["entrpy"])
    with pytest.raises(ConfigError, match="activeloop strategies: unrecognized arguments: margin"):
        list_strategies(["entropy", "margin"])
    with pytest.raises(ConfigError, match="there is no folder nowhere/strategy"):
        list_strategies(["--config-dir", "nowhere"])


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_listed.py").write_text(
        'def pick(context, n=1):\n    """Mine first.\n\n    Budget: low.\n    """\n    return []\n'
    )
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "nearby.yaml").write_text(
        "_target_: mine_listed.pick\nn: 3 # so many\n"
    )
    return str(tmp_path)


def test_strategies_of_ones_own_folder_are_listed_too(list_strategies, own):
    listed = list_strategies(["--config-dir", own])
    assert re.search(r"^nearby +Mine first +low +nothing$", listed, re.MULTILINE)
    text = list_strategies(["nearby", f"--config-dir={own}"])
    assert "Mine first." in text
    assert "n: 3 # so many" in text
    with pytest.raises(ConfigError, match="did you mean 'nearby'"):
        list_strategies(["neraby", "--config-dir", own])
    (Path(own) / "strategy" / "nearby.yaml").write_text("n: 3\n")
    with pytest.raises(ConfigError, match=r"nearby.yaml must have a _target_"):
        list_strategies(["--config-dir", own])


def test_bars_do_not_break_the_markdown_table():
    about = About(
        name="x", family="f", summary="KL(p || q).", paper="", budget="any, x", time="O(1)",
        memory="O(1)", needs=frozenset(["probs", "features"]),
    )  # fmt: skip
    assert markdown([about]).splitlines()[2:] == [
        "| **f** |  |  |  |  |",
        r"| `x` | KL(p \|\| q) | any | probs, features | O(1) |",
    ]


def test_the_readmes_table_is_the_one_that_is_printed(list_strategies):
    printed = list_strategies(["--markdown"])
    between = re.search(
        r"<!-- strategies: [^\n]* -->\n\n(.*?)\n\n<!-- end of strategies -->",
        README.read_text("utf-8"),
        re.DOTALL,
    )
    assert between is not None
    assert between[1] == printed, "run: python -m activeloop strategies --markdown"
