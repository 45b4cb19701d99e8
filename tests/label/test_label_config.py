"""The defaults of `experiment=label`, alone and with what people set beside."""

import pytest
from hydra import compose, initialize_config_dir

from activeloop.config import config_dir, register
from activeloop.label import wanted


@pytest.fixture
def composed():
    register()
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="activeloop"):
        yield lambda *words: compose("config", ["experiment=label", "data.root=photos", *words])


def test_it_goes_on_until_nothing_is_left_and_needs_no_labels_to_start(composed):
    config = composed()
    assert (config.budget, config.rounds) == ("all", None)
    assert config.initial.strategy.name == "typiclust"
    assert config.embed._target_ == "activeloop.embed.pca"
    assert config.embed.as_input is False
    assert config.data.classes is None


def test_a_frozen_backbone_with_a_probe_takes_the_place_of_the_network(composed):
    config = composed("embed=backbone", "learner=probe", "budget=500")
    assert config.embed.as_input is True
    assert config.learner._target_ == "activeloop.learners.ProbeLearner"
    assert config.initial.strategy.space == "embeddings"
    assert config.budget == 500


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["data=mnist", "data.root=files"], "mnist"),
        (["data=image_folder", "data.root=my/photos/", "data.classes=[cat,dog]"], "photos"),
        (["data.root=photos"], "photos"),
    ],
)
def test_a_run_is_called_by_its_data_set_or_its_folder(words, name):
    directory = wanted._composed(words)[1]
    assert directory.as_posix() == f"outputs/label/{name}"
