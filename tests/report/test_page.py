"""The page of a report: its text here, what a reader sees of it in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import chromium
from made_reports import (
    CLASSES,
    MARKUP,
    MARKUP_CLASS,
    METRICS,
    RULES,
    STRATEGIES,
    bare_comparison,
    bare_report,
    comparison,
    long_report,
    rich_report,
)
from matplotlib.figure import Figure

import activeloop.report.page
from activeloop.errors import StoreError
from activeloop.report.drawing import draw
from activeloop.report.looks import looks
from activeloop.report.page import SCRIPTS, page, write_page

# -- the text of the page --------------------------------------------------------------------------


NOT_THERE = "\N{EN DASH}"


class Parts(HTMLParser):
    """What a browser's parser finds: elements with their attributes, and scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data

    def text_of(self, tag: str, **attributes: str) -> str:
        for (name, given), text in zip(self.elements, self.texts, strict=True):
            if name == tag and attributes.items() <= given.items():
                return text
        raise AssertionError(f"no {tag} with {attributes}")


def same(shown: Any, given: Any) -> bool:
    """Whether what JSON gave back is what was given, to six digits."""
    if isinstance(given, float):
        if not math.isfinite(given):
            return shown is None
        return shown == pytest.approx(given, rel=1e-5, abs=1e-300)
    if isinstance(given, dict):
        keys = {str(key): value for key, value in given.items()}
        return keys.keys() == shown.keys() and all(same(shown[k], v) for k, v in keys.items())
    if isinstance(given, list | tuple):
        return len(shown) == len(given) and all(map(same, shown, given))
    return type(shown) is type(given) and shown == given


def test_the_data_on_the_page_are_the_report():
    report = rich_report()
    shown = json.loads(Parts(page(report)).text_of("script", id="data"))
    assert same(shown, asdict(report))
    assert not same(shown, asdict(replace(report, made="another day")))


def test_numbers_of_numpy_and_what_is_no_json_are_written():
    odd = bare_comparison(settings={"a": np.float32(0.5), "b": np.int64(3), "c": Path("x"), "d": 1})
    text = page(bare_report(comparisons=(odd,)))
    shown = json.loads(Parts(text).text_of("script", id="data"))
    assert shown["comparisons"][0]["settings"] == {"a": 0.5, "b": 3, "c": "x", "d": 1}


def test_the_page_names_no_other_place():
    text = page(rich_report())
    assert set(re.findall(r"\w+://[^\s\"']*", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\((?!#)", text)
    elements = Parts(text).elements
    assert not [attrs for _, attrs in elements if "src" in attrs]
    assert {attrs["href"] for _, attrs in elements if "href" in attrs} == {"#content", "data:,"}


def test_names_with_markup_add_no_element():
    report = rich_report()
    title = Parts(page(report)).text_of("title")
    assert title == report.title
    # Comments and "<script" inside a script change how its end is found.
    sly = bare_report(title="</title>", findings=("<!--<script>", "</script>", MARKUP))
    tags = [tag for tag, _ in Parts(page(sly)).elements]
    assert tags == [tag for tag, _ in Parts(page(bare_report())).elements]
    assert tags.count("script") == 3


def test_the_policy_lets_in_nothing_but_its_own_style_and_script():
    parts = Parts(page(rich_report()))

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    metas = [attrs for tag, attrs in parts.elements if tag == "meta"]
    (policy,) = [m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy"]
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "style-src": hashed(parts.text_of("style")),
        "script-src": hashed(parts.text_of("script", type="module")),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_every_script_of_the_package_is_on_the_page():
    folder = Path(activeloop.report.page.__file__).parent
    assert {path.name for path in folder.glob("*.js")} == set(SCRIPTS)


def test_a_sweep_of_200_runs_stays_under_3_mb():
    report = long_report(strategies=20, seeds=10, rounds=50)
    assert len(report.runs) == 200
    assert len(page(report).encode()) < 3e6


def test_a_name_that_is_no_valid_text_does_not_cost_the_page(tmp_path):
    write_page(bare_report(title="caf\udce9", findings=("caf\udce9",)), tmp_path / "report.html")
    assert "caf?" in (tmp_path / "report.html").read_text("utf-8")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "nowhere"))):
        write_page(bare_report(), tmp_path / "nowhere" / "report.html")


# -- the page in a browser -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a driver of headless Chromium that keeps its console and what it asks for."""
    running = chromium(tmp_path_factory.mktemp("chromium"), ("browser", "performance"))
    yield running
    running.quit()


class Reader:
    """A reader of a page: what is there, and what changes when something is clicked."""

    def __init__(self, driver: Any, report: Any, path: Path) -> None:
        self.driver = driver
        self.path = path
        write_page(report, path)
        self.open()

    def open(self) -> None:
        """Load the page; what the console and the network have seen before is forgotten."""
        self.look()
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(self.path.as_uri())
        self.settle()

    def come_back(self) -> None:
        """Look at the page on the usual screen again."""
        if self.driver.current_url == self.path.as_uri():
            self.look()
        else:
            self.open()

    def do(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def settle(self) -> None:
        """Wait until what is due in the next frames is drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
        )

    def look(self, *, width: int = 1280, media: str = "screen", scheme: str = "light") -> None:
        """Look at the page on another screen, or on paper."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": media, "features": features}
        )
        self.settle()

    def count(self, selector: str) -> int:
        return int(self.do("return document.querySelectorAll(arguments[0]).length", selector))

    def text(self, selector: str) -> str:
        return str(self.do("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        return list(
            self.do(
                "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)",
                selector,
            )
        )

    def texts_of(self, selector: str, attribute: str) -> list[str]:
        return list(
            self.do(
                "return [...document.querySelectorAll(arguments[0])]"
                ".map((e) => e.getAttribute(arguments[1]))",
                selector,
                attribute,
            )
        )

    def click(self, selector: str) -> None:
        self.do("document.querySelector(arguments[0]).click()", selector)

    def choose(self, selector: str, value: str) -> None:
        self.do(
            "const [select, text] = [document.querySelector(arguments[0]), arguments[1]];"
            "select.selectedIndex = [...select.options].findIndex((o) => o.text === text);"
            "select.dispatchEvent(new Event('change'))",
            selector,
            value,
        )

    def errors(self) -> list[str]:
        """Return what is on the console, of whatever level."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for, but for the data in the page itself."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        asked = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
        urls = [m["params"]["request"]["url"] for m in asked]
        return [url for url in urls if not url.startswith("data:")]


@pytest.fixture
def read(browser, tmp_path):
    return lambda report: Reader(browser, report, tmp_path / "report.html")


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    return Reader(browser, rich_report(), tmp_path_factory.mktemp("runs #1 100%") / "report.html")


@pytest.fixture
def rich(opened):
    """Return the open page of the rich report, for tests that leave it as it was."""
    opened.come_back()
    return opened


@pytest.fixture
def fresh(read):
    """Return such a page of its own."""
    return read(rich_report())


def test_nothing_on_the_console_and_nothing_fetched(rich):
    assert rich.errors() == []
    assert rich.requests() == [rich.path.as_uri()]
    assert rich.count(".broken") == 0


def test_every_figure_is_there_with_its_marks(rich):
    first, n = "#comparison-digits", len(STRATEGIES)
    expected = {
        f"{first} .chart .series": n,
        f"{first} .chart .series > .line": n,
        f"{first} .chart .series > .band:not([d=''])": n,
        f"{first} .chart .series .run": n * 5,
        f"{first} .chart .series .marker": n * 9,
        f"{first} .chart .end text": n,
        f"{first} .chart .ceiling": 1,
        f"{first} .interval .whisker": (n - 1) + 1 + n * len(RULES),
        f"{first} .interval .zero": n,
        f"{first} .interval .floor": n,
        f"{first} .stacked .piece": n * 4,
        f"{first} .matrix .heat": n * n + n * (n - 1),
        f"{first} .shelf": n,
        f"{first} .shelf .thumbnail": n * 4,
        f"{first} .shelf img": n * 3,
        f"{first} .bars": n,
        f"{first} .bar": n * len(CLASSES),
        f"{first} .bar .pool": n * len(CLASSES),
        f"{first} .map .dots": len(CLASSES) + 1,
        f"{first} .map .pick": 12,
        f"{first} .pair": 1,
        "#comparison-mnist .chart .series": 3,
        "#together .ranks .rank": n,
        "#together .ranks .clique": 2,  # 1.5 to 3.0 and 3.0 to 4.5
        "#ran .failed-row": 1,
        "nav a": 4,
    }
    found = {selector: rich.count(selector) for selector in expected}
    assert found == expected
    dots = rich.do("return [...document.querySelectorAll('.map .dots')].map((e) => e.outerHTML)")
    assert sum(dot.count("h0") for dot in dots) == 300
    # Strokes of no length: without round ends nothing is seen.
    cap = "return getComputedStyle(document.querySelector(arguments[0])).strokeLinecap"
    assert rich.do(cap, ".map .dots") == rich.do(cap, ".legend .dots") == "round"


def test_the_numbers_are_those_of_the_report(rich):
    first = rich.texts("#comparison-digits > section:nth-of-type(2) tbody tr:first-child > *")
    assert first == ["randombaseline", "5", "90.0%89.2% to 90.8%", "80.0%79.0% to 81.0%",
                     "93.0%92.0% to 94.0%"]  # fmt: skip
    reach = rich.texts("#comparison-digits > section:nth-of-type(3) tbody tr:nth-child(2) > *")
    assert reach == ["badge", "5349 to 57", "29%24% to 34%", "2 of 5 reached", NOT_THERE]
    settled = rich.texts("#comparison-digits > section:nth-of-type(4) tbody tr:first-child td")
    assert settled[1:] == ["+3.50+3.10 to +3.90", "5", "< 0.001", "< 0.001 ✓",
                           "0.063least possible 0.063", "settled"]  # fmt: skip
    assert rich.texts("#problems li") == [
        "Error: outputs/digits/margin/3 failed: out of <memory>",
        "Warning: 2 near-duplicates between pool and test",
    ]
    ranks = rich.texts("#together tbody tr")
    assert ranks[0] == "badge1.50"
    assert "✗ failed: LearnerError: out of <memory>" in rich.text("#ran .failed-row")
    stop = rich.texts("#comparison-digits > section:nth-of-type(6) tbody tr:nth-child(2) td")
    assert stop[1:2] + stop[3:] == ["4 of 5", "6557 to 73", "35%29% to 41%", "0.400.20 to 0.60"]


def test_what_stands_beside_the_numbers(read):
    digits = rich_report().comparisons[0]
    few = replace(digits.table[1], area=replace(digits.table[1].area, n=2))
    floor = replace(digits.noise_floor, baseline="entropy")
    barely = replace(digits.differences[0], p=0.04996, p_holm=0.04996)
    curves = tuple(replace(c, metric="kappa") if c.metric == "loss" else c for c in digits.curves)
    changed = replace(
        digits,
        table=(digits.table[0], few, *digits.table[2:]),
        differences=(barely, *digits.differences[1:]),
        noise_floor=floor,
        validation_labels=50,
        differing={"budget": ("8 (badge)", "<b>12 (random)")},
        metrics=("accuracy", "kappa"),
        higher_is_better={"accuracy": True, "kappa": None},
        curves=curves,
    )
    page = read(bare_report(comparisons=(changed,)))
    section = "#comparison-digits > section:nth-of-type({})"
    table = page.text(section.format(2))
    assert "from 10 to 90 labels" in table
    assert "Each run used 50 labels more to validate" in table
    cells = page.texts(section.format(2) + " tbody tr:nth-child(2) td")
    assert [cell.endswith("2 of 5 runs") for cell in cells] == [False, True, False, False]
    row = page.text(section.format(4) + " .floor-row th")
    assert row.endswith("noise floor: minus entropy")
    cells = page.texts(section.format(4) + " tbody tr:first-child td")
    assert cells[3:5] == ["< 0.050", "< 0.050 ✓"]
    differing = page.texts("#comparison-digits > section:last-of-type tbody tr > *")
    assert differing == ["budget", "8 (badge)<b>12 (random)"]
    figure = "#comparison-digits figure.curves"
    assert page.text(f"{figure} figcaption").startswith("Test accuracy against labels")
    page.choose(f"{figure} .controls select", "kappa")
    assert page.text(f"{figure} figcaption").startswith("Kappa against labels")
    assert "better" not in page.text(f"{figure} .chart")
    page.do("[...document.querySelectorAll('.controls button, .controls label')]"
            ".find((e) => e.textContent === 'seconds').click()")  # fmt: skip
    assert "seconds of training, predicting, selecting and testing" in page.text(f"{figure} .chart")
    assert page.errors() == []


def proportional(places: list[float], values: list[float]) -> bool:
    """Whether places on the screen, to a tenth of a pixel, are a linear picture of values."""
    slope, start = np.polyfit(values, places, 1)
    return abs(slope) > 1 and np.abs(slope * np.array(values) + start - places).max() < 0.2


def test_marks_stand_where_the_numbers_say(rich):
    digits = rich_report().comparisons[0]
    at = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((e) => e.transform.baseVal[0].matrix[arguments[1]])"
    )
    size = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((e) => e[arguments[1]].baseVal.value)"
    )
    section = "#comparison-digits > section:nth-of-type({})"
    curves = [c for c in digits.curves if c.metric == "accuracy"]
    means = [estimate.mean for c in curves for estimate in c.estimates]
    heights = rich.do(at, "#comparison-digits .chart .series > .marker", "f")
    assert proportional(heights, means)
    assert heights[0] > heights[8]  # up is more
    differences = [d.estimate.mean for d in (*digits.differences, digits.noise_floor)]
    forest = section.format(4) + " tbody .interval "
    places = rich.do(at, forest + ".marker", "e")
    (zero,) = set(rich.texts_of(forest + ".zero", "d"))
    assert proportional([*places, float(zero[1:].split()[0])], [*differences, 0])
    assert places[0] > places[1]
    lows = [d.estimate.low for d in (*digits.differences, digits.noise_floor)]
    ends = [float(d[1:].split()[0]) for d in rich.texts_of(forest + ".whisker", "d")]
    assert proportional([*ends, *places], [*lows, *differences])
    seconds = [value for row in digits.table for value in row.seconds.values()]
    assert proportional([*rich.do(size, section.format(7) + " .stacked .piece", "width"), 0],
                        [*seconds, 0])  # fmt: skip
    bars = rich.do(size, "#comparison-digits .bar rect", "height")
    assert proportional([*bars, 0], [*[0.2] * len(bars), 0])
    labels = [stop.labels.mean for stop in digits.stops]
    assert proportional(rich.do(at, section.format(6) + " .interval .marker", "e"), labels)


def test_only_wrong_predictions_are_marked_and_not_by_colour_alone(rich):
    shelf = "#comparison-digits .shelf:nth-of-type(1)"
    assert rich.count(f"{shelf} .wrong") == 2  # of four: two right, one of them skipped
    said = rich.texts(f"{shelf} .said")
    assert said == ["✓ zero 63%", f"✗ {MARKUP_CLASS} 63%", "two 63%", f"✗ {MARKUP_CLASS} 63%"]
    assert rich.texts(f"{shelf} .skipped") == ["skipped"]
    dashed = "return getComputedStyle(document.querySelector('.wrong img')).borderTopStyle"
    assert rich.do(dashed) == "dashed"
    alt = rich.do("return document.querySelector('.wrong img').alt")
    assert alt == f"sample 3/1.png, one, network said {MARKUP_CLASS} 63%, wrong"


def test_markup_in_names_is_shown_as_text(rich):
    assert rich.text("h1") == "Compare </title><b>strategies</b> & more"
    assert rich.count("#page script, #page b, #page memory") == 0
    assert rich.do("return [...document.images].every((i) => i.src.startsWith('data:'))")
    assert MARKUP in rich.texts(".legend button")
    assert MARKUP_CLASS in rich.text(".map ~ .legend")


def test_links_lead_to_the_runs_whatever_their_names(rich):
    links = rich.do(
        "return [...document.querySelectorAll('#ran td a, #ran th a')].map(a => a.href)"
    )
    assert (rich.path.parent / "runs #1" / "0 100%" / "0").as_uri() + "/" in links
    assert len(links) == len(STRATEGIES) * 5


LEGEND = "#comparison-digits .curves .legend li:nth-child(3) button"
MARGIN = "#comparison-digits .chart .series[data-strategy=margin]"
SHOWN = (
    "return [...document.querySelectorAll(arguments[0])]"
    ".filter((e) => e.getClientRects().length).length"
)


def test_a_click_on_the_legend_shows_the_runs_behind_a_line(rich):
    every, of_margin = "#comparison-digits .run", f"{MARGIN} .run"
    assert rich.do(SHOWN, every) == 0
    rich.click(LEGEND)
    assert rich.text(LEGEND) == "margin"
    assert rich.do(SHOWN, every) == rich.do(SHOWN, of_margin) == 5
    pressed = "return document.querySelector(arguments[0]).getAttribute('aria-pressed')"
    assert rich.do(pressed, LEGEND) == "true"
    rich.choose("#comparison-digits .curves select", "macro-F1")
    assert rich.do(SHOWN, of_margin) == 5  # another metric, the same strategy
    rich.choose("#comparison-digits .curves select", "accuracy")
    rich.click(LEGEND)
    assert rich.do(SHOWN, every) == 0
    assert rich.do(pressed, LEGEND) == "false"


def test_focus_on_the_legend_shows_the_runs_while_it_lasts(rich):
    rich.do("document.querySelector(arguments[0]).focus()", LEGEND)
    assert rich.do(SHOWN, f"{MARGIN} .run") == 5
    rich.do("document.activeElement.blur()")
    assert rich.do(SHOWN, f"{MARGIN} .run") == 0


def test_the_chart_is_read_with_arrow_keys(rich):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    chart = rich.driver.find_element("css selector", "#comparison-digits .chart")
    chart.send_keys(keys.ARROW_LEFT)
    tip = rich.driver.find_element("css selector", "#comparison-digits .tip")
    assert tip.is_displayed()
    assert tip.text.startswith("90 labels, 5 seeds")
    accuracy = rich_report().comparisons[0].curves[0]
    assert accuracy.strategy == "random"
    assert f"{accuracy.estimates[-1].mean:.1%}" in tip.text
    chart.send_keys(keys.ARROW_LEFT)
    assert tip.text.startswith("80 labels")
    assert all(f"{name}" in tip.text for name in STRATEGIES)
    chart.send_keys(keys.ESCAPE)
    assert not tip.is_displayed()


def test_the_pointer_reads_the_nearest_point(rich):
    chains = pytest.importorskip("selenium.webdriver").ActionChains
    marker = rich.driver.find_element("css selector", f"{MARGIN} .marker:last-child")
    rich.do("arguments[0].scrollIntoView({block: 'center'})", marker)
    chains(rich.driver, duration=0).move_to_element(marker).perform()
    assert "margin" in rich.text("#comparison-digits .tip .here")
    assert rich.do(SHOWN, f"{MARGIN} .run") == 5


def test_the_charts_numbers_are_a_table_too(rich):
    rich.do("document.querySelector('.curves .numbers').open = true")
    rich.settle()
    curves = [c for c in rich_report().comparisons[0].curves if c.metric == "accuracy"]
    cells = rich.texts("#comparison-digits .curves .numbers tbody tr:nth-child(2) > *")
    means = [f"{c.estimates[1].mean:.1%}" for c in curves]
    assert [cell[: len(mean)] for cell, mean in zip(cells, ["20", *means], strict=True)] == [
        "20",
        *means,
    ]


def test_a_strategy_looks_the_same_all_over_the_page_and_like_no_other(rich):
    looks = rich.do(
        "const found = {};"
        "for (const s of document.querySelectorAll('.strategy, .legend button')) {"
        "  const picture = s.querySelector('.swatch'); if (!picture) continue;"
        "  (found[s.textContent] ??= new Set()).add(picture.outerHTML) }"
        "return Object.fromEntries(Object.entries(found).map(([n, l]) => [n, [...l]]))"
    )
    assert set(STRATEGIES) < set(looks)
    assert all(len(pictures) == 1 for pictures in looks.values())
    assert len({pictures[0] for pictures in looks.values()}) == len(looks)
    assert "hue-grey" in looks["random"][0]
    assert "stroke-dasharray" in looks["random"][0]


def hexadecimal(painted: str) -> str:
    """Return a colour as figures name it."""
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", painted))


def test_a_strategy_has_one_colour_on_the_page_and_in_the_figures(rich):
    painted = dict(
        rich.do(
            "return [...document.querySelectorAll('.legend button:has(.swatch)')].map((button) =>"
            " [button.textContent, getComputedStyle(button.querySelector('.line')).stroke])"
        )
    )
    report = rich_report()
    drawn = {}
    for each in report.comparisons:
        axes = Figure().subplots()
        draw(axes, each, "accuracy", looks(report.comparisons))
        drawn |= {line.get_label(): line.get_color() for line in axes.get_lines()}
    assert drawn.pop("all labels of the pool") == drawn["random"]
    assert {name: hexadecimal(colour) for name, colour in painted.items()} == drawn
    assert len(set(drawn.values())) == min(len(drawn), 8)


RATIOS = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgb(colour) {  // whatever the notation: as the browser paints it
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return { channels: [r, g, b], alpha: a / 255 };
}
const over = (top, below) => top.channels.map((c, i) => c * top.alpha + below[i] * (1 - top.alpha));
function behind(element) {
  if (element === null) return [255, 255, 255];
  const own = rgb(getComputedStyle(element).backgroundColor);
  return own.alpha === 1 ? own.channels : over(own, behind(element.parentElement));
}
function luminance(channels) {
  const [r, g, b] = channels.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ratio(colour, element) {
  const back = behind(element);
  const [a, b] = [luminance(over(rgb(colour), back)), luminance(back)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
"""

TEXT_RATIOS = (
    RATIOS
    + """
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const element = walk.currentNode.parentElement;
  const text = walk.currentNode.data.trim();
  if (!text || element.closest("script, style, option, noscript, title")) continue;
  if (!element.checkVisibility({ visibilityProperty: true })) continue;
  const style = getComputedStyle(element);
  const colour = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
  found.push([ratio(colour, element), text.slice(0, 40), element.className]);
}
return found.sort((a, b) => a[0] - b[0]);
"""
)

LINE_RATIOS = (
    RATIOS
    + """
return [...document.querySelectorAll(".line, .whisker, .pick, .ceiling, .clique")]
  .map((e) => ratio(getComputedStyle(e).stroke, e));
"""
)


def test_texts_and_lines_stand_out_from_what_is_behind_them(fresh):
    fresh.do("for (const d of document.querySelectorAll('details')) d.open = true")
    chart = fresh.driver.find_element("css selector", ".chart")
    chart.send_keys("\ue012")  # an arrow key: numbers pop up
    for scheme in ("light", "dark"):
        fresh.look(scheme=scheme)
        ratios = fresh.do(TEXT_RATIOS)
        assert len(ratios) > 800
        assert ratios[0][0] >= 4.5, ratios[:5]
        assert min(fresh.do(LINE_RATIOS)) >= 3
        back = fresh.do(RATIOS + "return luminance(behind(document.body))")
        assert back > 0.9 if scheme == "light" else back < 0.1


WIDE = """
const page = document.documentElement;
const out = [...document.body.querySelectorAll("*")].filter(
  (e) => !e.parentElement.closest(".box, svg") && !e.closest(".skip, caption")
    && e.checkVisibility() && e.getBoundingClientRect().right > page.clientWidth + 0.5);
return [page.scrollWidth - page.clientWidth, out.map((e) => `${e.tagName}.${e.className}`)];
"""


@pytest.mark.parametrize("report", [rich_report, long_report])
def test_a_phone_needs_no_sideways_scroll(read, report):
    reader = read(report(**({"rounds": 12} if report is long_report else {})))
    reader.look(width=375)
    assert reader.do("return innerWidth") == 375
    assert reader.do(WIDE) == [0, []]
    # What is wide scrolls in its own box, and there the charts are as wide as the phone allows.
    assert reader.do(
        "return [...document.querySelectorAll('.box')].some((b) => b.scrollWidth > b.clientWidth)"
    )
    assert 300 < reader.do("return document.querySelector('.chart').clientWidth") < 375


def test_selectors_redraw_the_chart(fresh):
    section = "#comparison-digits .curves"
    points = (
        f"return [...document.querySelectorAll('{section} .series[data-strategy=random] .marker')]"
        ".map((e) => e.transform.baseVal[0].matrix.e)"
    )

    def gaps() -> list[float]:
        places = fresh.do(points)
        assert len(places) == 9
        return list(np.diff(places))

    linear = gaps()
    assert max(linear) == pytest.approx(min(linear), abs=0.3)  # a round each 10 labels
    fresh.click(f"{section} input[value=log]")
    logarithmic = gaps()
    assert logarithmic == sorted(logarithmic, reverse=True)
    assert logarithmic[0] > 2 * logarithmic[-1]
    labels = np.log(range(10, 91, 10))
    assert logarithmic[0] / sum(logarithmic) == pytest.approx(
        (labels[1] - labels[0]) / (labels[-1] - labels[0]), abs=0.01
    )
    fresh.click(f"{section} input[value=linear]")
    fresh.click(f"{section} input[value=seconds]")
    assert "against seconds" in fresh.text(f"{section} figcaption")
    assert max(gaps()) > min(gaps()) + 1
    lines = set()
    for metric in ("accuracy", "macro-F1", "worst-class accuracy", "calibration error", "loss"):
        fresh.choose(f"{section} select", metric)
        assert metric in fresh.text(f"{section} figcaption")
        lines.add(fresh.do(f"return document.querySelector('{section} .line').getAttribute('d')"))
    assert len(lines) == len(METRICS)
    assert "lower is better" in fresh.text(f"{section} .axis-name")
    line = fresh.do(f"return document.querySelector('{section} .series > .line').getAttribute('d')")
    assert line.count("M") == 2  # a loss is not known: the line has a gap there


def test_twenty_strategies_are_told_apart(read):
    reader = read(long_report(rounds=8, seeds=2))
    pictures = reader.do(
        "return [...document.querySelectorAll('.curves .swatch')].map((e) => e.outerHTML)"
    )
    assert len(pictures) == len(set(pictures)) == 20
    assert reader.count(".chart .end") == 0  # too many to be named at their ends
    assert reader.errors() == []


def test_tables_sort_by_a_click_on_a_head_and_keep_what_is_absent_last(fresh):
    table = "#comparison-digits > section:nth-of-type(3)"

    def order() -> list[str]:
        return fresh.texts(f"{table} tbody th .strategy")

    def sort(column: int) -> str:
        fresh.click(f"{table} thead th:nth-child({column}) button")
        cell = f"document.querySelector('{table} thead th:nth-child({column})')"
        return str(fresh.do(f"return {cell}.getAttribute('aria-sort')"))

    names = list(STRATEGIES)
    assert order() == names
    assert sort(3) == "descending"  # most saved first; the baseline has none
    assert order() == [*names[1:], "random"]
    assert sort(3) == "ascending"
    assert order() == [*reversed(names[1:]), "random"]
    assert sort(1) == "ascending"
    assert order() == sorted(names)


def test_a_step_back_shows_the_round_before(fresh):
    shelves, pictures = "#comparison-digits .shelf-round", "#comparison-digits .map"
    keys = (
        "return [...document.querySelectorAll('#comparison-digits .shelf img')].map(i => i.title)"
    )
    assert fresh.text(shelves) == "Picks of round 3"
    back = "#comparison-digits .stepper button[aria-label='{}: one back']"
    fresh.click(back.format("round"))
    assert fresh.text(shelves) == "Picks of round 2"
    assert set(fresh.do(keys)) == {"2/0.png", "2/1.png", "2/2.png"}
    assert fresh.count(f"{pictures} .pick.latest") == 4
    fresh.click(back.format("up to round"))
    fresh.click(back.format("up to round"))
    assert fresh.count(f"{pictures} .pick") == 4
    assert fresh.do(
        "return document.querySelector(arguments[0]).disabled", back.format("up to round")
    )


def test_paper_shows_all_parts_and_no_controls(fresh):
    titles = (
        "return [...document.querySelectorAll('h2, h3')].filter(e => e.checkVisibility()).length"
    )
    on_screen = fresh.do(titles)
    setting = "return document.querySelector('.settings td').checkVisibility()"
    assert not fresh.do(setting)
    fresh.look(width=720, media="print", scheme="dark")
    assert fresh.do(titles) == on_screen > 20
    assert fresh.do(SHOWN, ".controls, .numbers, .tip") == 0
    assert fresh.do(setting)
    assert fresh.do(RATIOS + "return luminance(behind(document.body))") > 0.9
    assert fresh.do(TEXT_RATIOS)[0][0] >= 4.5
    assert fresh.do(
        "return [...document.querySelectorAll('.box')]"
        ".every((box) => getComputedStyle(box).overflowX === 'visible')"
    )


def test_what_there_are_no_data_for_is_left_out(read):
    reader = read(bare_report())
    assert reader.texts("#page *:is(h1, h2, h3)") == ["Bare"]
    assert reader.count("nav, table, figure, #problems, #findings") == 0
    one = replace(
        comparison("digits", ["random"], seeds=1, rng=np.random.default_rng(0), pictures=False),
        differences=(),
        noise_floor=None,
        penalties=None,
        stops=(),
        targets=(),
        settings={},
        ceiling=None,
    )
    reader = read(bare_report(comparisons=(one,)))
    assert reader.texts("h3") == ["Learning curves", "Accuracy", "Seconds a round"]
    assert reader.count(".chart .line") == 1
    assert reader.errors() == []


def test_one_run_is_no_mean_and_rules_that_never_stopped_are_one_line(read):
    rng = np.random.default_rng(0)
    several = comparison("digits", ["random"], seeds=3, rng=rng, pictures=False)
    one = comparison("digits", ["random"], seeds=1, rng=rng, pictures=False)
    stop = one.stops[0]
    kept, never = replace(stop, rule="kept", stopped=1), replace(stop, rule="never", stopped=0)
    one = replace(
        one,
        stops=(kept, never),
        table=tuple(replace(row, seconds={"train": 1.0, "test": 5e-6}) for row in one.table),
    )

    def curves(low, high):
        estimates = [tuple(replace(e, low=low, high=high) for e in c.estimates) for c in one.curves]
        return tuple(replace(c, estimates=e) for c, e in zip(one.curves, estimates, strict=True))

    audited = replace(one, name="audited", curves=curves(0.1, 0.9), stops=(never,))
    one = replace(one, name="one", curves=curves(None, None))
    reader = read(bare_report(comparisons=(several, one, audited)))
    captions = [text.partition(": ")[2] for text in reader.texts(".curves > figcaption")]
    assert captions == [
        "mean over seeds and its 95% interval",
        "one run",
        "one run, and the 95% interval of each point",
    ]
    notes = reader.texts(".curves > .note:not(.hint)")
    assert ["there is no interval" in note for note in notes] == [False, True, False]
    said = "Rules that would have stopped none of these runs: never."
    for name, rules in [("one", ["kept"]), ("audited", [])]:
        section = f"#comparison-{name} > section:has(> .note)"
        assert reader.text(f"{section} > .note") == said
        assert reader.texts(f"{section} tbody th") == rules
    assert "test" not in reader.text("#comparison-one section:has(.stacked) thead")
    assert reader.errors() == []


def test_what_nobody_answered_is_not_called_skipped(read):
    first = rich_report().comparisons[0]
    assert first.pictures is not None
    gallery = first.pictures.galleries[0]
    (last, asked) = list(gallery.rounds.items())[-1]
    asked = tuple(replace(each, label=None, answered=n % 2 == 0) for n, each in enumerate(asked))
    shown = replace(first.pictures, galleries=(replace(gallery, rounds={last: asked}),), map=None)
    reader = read(bare_report(comparisons=(bare_comparison(pictures=shown),)))
    said = ["skipped", "not answered", "skipped", "not answered"]
    assert reader.texts(".thumbnail .skipped") == said


def unanswered(gallery, *rounds):
    """Return a gallery in which all but the first pick of these rounds has no answer yet."""
    return replace(
        gallery,
        rounds={
            number: tuple(
                replace(pick, answered=False, label=None) if number in rounds and n else pick
                for n, pick in enumerate(picks)
            )
            for number, picks in gallery.rounds.items()
        },
    )


def test_picks_are_shown_of_the_last_round_that_is_mostly_answered_first(read):
    pictures = rich_report().comparisons[0].pictures
    assert pictures is not None
    (gallery, *_) = pictures.galleries
    comparisons = tuple(
        bare_comparison(
            name=f"open{len(rounds)}",
            pictures=replace(pictures, galleries=(unanswered(gallery, *rounds),), map=None),
        )
        for rounds in ((), (3,), (2, 3), (1, 2, 3))
    )
    reader = read(bare_report(comparisons=comparisons))
    assert reader.texts(".shelf-round") == [f"Picks of round {n}" for n in (3, 2, 1, 3)]
    assert reader.texts(".stepper output") == ["3", "2", "1", "3"]
    last = "#comparison-open1 .stepper button[aria-label='round: one on']"
    reader.click(last)
    assert reader.text("#comparison-open1 .shelf-round") == "Picks of round 3"
    assert reader.do("return document.querySelector(arguments[0]).disabled", last)


def test_without_what_would_fill_it_there_is_no_table_of_accuracies(read):
    rng = np.random.default_rng(0)
    one = comparison("digits", ["random"], seeds=1, rng=rng, pictures=False)
    two = comparison("digits", ["random", "margin"], seeds=1, rng=rng, pictures=False)

    def without(comparison, **changes):
        table = tuple(replace(row, area=None, at={}) for row in comparison.table)
        bare = replace(comparison, table=table, area_range=None, targets=(), budgets=())
        return replace(bare, **changes)

    others = tuple(replace(c, metric="loss") for c in one.curves if c.metric == "accuracy")
    audits = tuple(replace(c, metric="audit_accuracy") for c in others)
    tested = replace(one, targets=())
    young = without(one, budgets=(50,), table=tuple(replace(r, area=None) for r in one.table))
    shown = {
        "tested": (tested, 1, "The area is the mean height"),
        "audited": (
            without(one, curves=audits, metrics=("audit_accuracy",)),
            0,
            "This run has no test accuracy. Its audit accuracy, of samples drawn at random, is in "
            "the learning curves above.",
        ),
        "untested": (without(two, curves=others), 0, "These runs have no test accuracy."),
        "young": (young, 1, "There is no area, for it takes accuracies at two label counts."),
        "apart": (without(two), 0, "There is no area, for the runs share no range of labels."),
    }
    named = tuple(replace(each, name=name) for name, (each, _, _) in shown.items())
    reader = read(bare_report(comparisons=named))
    for name, (_, tables, text) in shown.items():
        section = f"#comparison-{name} .part:nth-of-type(2)"
        assert reader.text(f"{section} > h3") == "Accuracy"
        assert reader.text(f"{section} > .help").startswith(text)
        assert reader.count(f"{section} table") == tables
    heads = ["strategy", "seeds", "at 50 labels"]
    assert reader.texts("#comparison-young .part:nth-of-type(2) thead th") == heads
    assert reader.errors() == []


def test_a_part_that_cannot_be_drawn_does_not_cost_the_others(read):
    report = rich_report()
    first = report.comparisons[0]
    assert first.pictures is not None
    assert first.pictures.map is not None
    nowhere = replace(first.pictures.map, picks={"random": ((10**6, 1),)})
    broken = replace(first, pictures=replace(first.pictures, map=nowhere))
    reader = read(replace(report, comparisons=(broken,)))
    assert reader.count(".broken") == 1
    assert reader.count(".chart .series") == len(STRATEGIES)
    assert reader.count("#ran .failed-row") == 1
