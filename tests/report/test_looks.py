"""How strategies look: told apart by all readers, and the same wherever they are."""

import numpy as np
import pytest
from made_reports import bare_comparison

from activeloop.report.looks import ON_DARK, ON_WHITE, look, looks

# What is seen of linear red, green and blue without one kind of cones (Machado et al. 2009).
SIGHT = {
    "all colours": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# Oklab, in which equal distances look about equal (Ottosson 2020).
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def linear(colours):
    shares = np.array([[int(c[n : n + 2], 16) / 255 for n in (1, 3, 5)] for c in colours])
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("hues", [ON_WHITE, ON_DARK], ids=["white", "dark"])
def test_the_colours_of_eight_strategies_are_told_apart_by_every_reader(hues, sight):
    used = ["grey", *(look(n).hue for n in range(7))]
    seen = np.clip(linear([hues[name] for name in used]) @ np.transpose(SIGHT[sight]), 0, 1)
    places = np.cbrt(seen @ np.transpose(CONES)) @ np.transpose(LAB)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert apart[np.triu_indices(len(used), 1)].min() > 0.065


def test_baselines_are_grey_and_the_others_have_colours_in_their_order():
    one = bare_comparison(baseline="random", strategies=("random", "margin", "k_center"))
    other = bare_comparison(baseline="random", strategies=("random", "badge", "margin"))
    found = looks([one, other])
    assert {name: each.hue for name, each in found.items()} == {
        "random": "grey",
        "margin": "0",
        "k_center": "1",
        "badge": "2",
    }
    assert found["random"].dashes


def test_many_strategies_have_as_many_looks():
    assert len({look(n) for n in range(28)}) == 28
