"""Every file of conf/data names its builder and lists each of its options, with its default."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf

from activeloop.data import BUILDERS, PoolOptions

CONF = Path(__file__).parents[2] / "conf"
REQUIRED = {"name", "root", "pool", "split"}  # where a file says more than the builder's default


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(overrides=overrides).data


def test_there_is_a_file_for_each_name():
    assert {path.stem for path in (CONF / "data").glob("*.yaml")} == set(BUILDERS)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_file_lists_all_options_with_their_defaults(name):
    config = OmegaConf.to_container(OmegaConf.load(CONF / "data" / f"{name}.yaml"))
    builder = get_method(config.pop("_target_"))
    own = dict(inspect.signature(builder).parameters)
    del own["options"]
    if name != "emnist":
        own.pop("split", None)
    shared = {field.name: field.default for field in fields(PoolOptions)}
    assert set(config) == set(own) | set(shared)
    for option, default in shared.items():
        assert config[option] == default, option
    for option in set(own) - REQUIRED:
        assert config[option] == own[option].default, option


def test_a_data_set_is_built_from_its_config():
    data, _ = instantiate(composed("+data=digits", "data.pool_size=20"), _convert_="all")
    assert len(data.pool) == 20


def test_lists_and_nested_targets_come_through(tmp_path):
    pool = "torchvision.datasets.FakeData"
    config = composed(
        "+data=dataset",
        f"data.pool._target_={pool}",
        "+data.pool={size:20,image_size:[3,4,4],num_classes:2}",
        "data.test={_target_:" + pool + ",size:5,image_size:[3,4,4],num_classes:2}",
        "data.classes=[cat,dog]",
    )
    data, _ = instantiate(config, _convert_="all")
    assert (len(data.pool), len(data.test), data.classes) == (20, 5, ("cat", "dog"))
