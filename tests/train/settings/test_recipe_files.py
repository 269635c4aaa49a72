import pytest

from edge_mri.errors import OptionError
from edge_mri_train.networks.architectures import build
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.recipe_files import read_recipe, recipe_names
from edge_mri_train.training.configured import defaults_of


def test_the_networks_of_both_projects_and_ours_have_one():
    assert {"artemis_cnn", "mobilenet_v2", "inception_v3", "edge_net"} < set(recipe_names())
    assert {"artemis_cnn_type", "mobilenet_v2_type"} < set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_each_makes_a_run_of_a_network_there_is(name):
    for stage in read_recipe(name):
        start = stage.values.get("init_weights", "none")
        values = {"task": "auto", **stage.values, "init_weights": start}
        config = TrainConfig(data=("somewhere",), **values)
        assert start in (defaults_of(config.arch).init_weights, "shipped")
        if config.arch == "artemis_cnn":
            classes = 4 if config.task == "type" else 12
            network = build(config.arch, classes, config.image_size)
            assert sum(one.numel() for one in network.parameters()) < 100_000


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('arch = "resnet18"\n[augment]\nnoise = 0.5\n')
    values = read_recipe(str(path))[0].values
    assert values["arch"] == "resnet18"
    assert values["augment"].noise == 0.5
    assert values["augment"].rotate == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "cannot be read: "),
        ('data = ["x"]', "sets data; a recipe knows arch, "),
        ("speed = 3", "sets speed; a recipe knows arch, "),
        ("[augment]\ncolour = 1.0", "augments with colour; expected bias_field, "),
        ("[augment]\nnoise = 2.0", "mine.toml: augmentation noise is 2.0; expected 0 to 1"),
        ("augment = 3", "mine.toml: augment is 3; expected a table [augment]"),
        ('epochs = "12"', "mine.toml: epochs is '12'; expected a whole number of 1 or more"),
        ("arch = 3", "mine.toml: arch is 3; expected a text"),
        ("label_smoothing = 5.0", "mine.toml: label_smoothing is 5.0; expected a number of 0 or "),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        read_recipe(str(path))
    assert message in str(caught.value)


def test_an_unknown_name_brings_the_list():
    with pytest.raises(OptionError) as caught:
        read_recipe("edgenet")
    assert str(caught.value) == (
        f"no recipe 'edgenet'; expected a .toml file, or one of {', '.join(recipe_names())}"
    )
