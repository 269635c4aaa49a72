import pytest

from edge_mri_train.errors import ArchitectureError
from edge_mri_train.networks.architectures import names
from edge_mri_train.networks.initial_weights import require_imagenet
from edge_mri_train.settings.recipe_files import read_recipe, recipe_names
from edge_mri_train.training.configured import Defaults, defaults_of


@pytest.mark.parametrize("name", sorted(set(recipe_names()) & set(names()) - {"edge_net"}))
def test_a_network_with_a_recipe_of_its_name_takes_its_figures(name):
    stages = [one.values for one in read_recipe(name)]
    own, recipe = defaults_of(name), next(one for one in stages if one["arch"] == name)
    assert (own.image_size, own.epochs) == (recipe["image_size"], recipe["epochs"])
    assert (own.learning_rate, own.init_weights) == (
        recipe["learning_rate"],
        recipe["init_weights"],
    )


def test_a_network_without_a_recipe_starts_as_from_nothing():
    alone = read_recipe("edge_net_scratch")[1].values
    assert alone["arch"] == "edge_net"
    assert defaults_of("edge_net") == Defaults(160, alone["epochs"], 2e-3, "none")


def test_the_others_have_those_of_all():
    assert defaults_of("resnet18") == defaults_of("resnet18_lesion") == Defaults()
    assert defaults_of("artemis_cnn") == Defaults(150, 100, 3e-3, "none")


def test_only_networks_that_imagenet_has_start_from_it():
    for name in names():
        if defaults_of(name).init_weights == "imagenet":
            require_imagenet(name)
    assert defaults_of("edge_net").init_weights == "none"


def test_an_unknown_network_is_refused():
    with pytest.raises(ArchitectureError, match=r"^unknown architecture 'resnet'; did you mean "):
        defaults_of("resnet")
