"""What a network is trained with unless said otherwise: its recipe's figures where it has one.

Only what depends on the network: `--arch edge_net` takes size, epochs, learning rate and starting
weights of `--recipe edge_net`, and not how images are changed.
"""

from dataclasses import dataclass, fields

from edge_mri_train.networks.architectures import require_known
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.settings.recipe_files import read_recipe, recipe_names


@dataclass(frozen=True)
class Defaults:
    """Fields of `TrainConfig`.

    Attributes:
        image_size: Side of the network's square input, in pixels.
        epochs: Passes over the training images.
        learning_rate: Peak of the schedule.
        init_weights: Where its weights start.
    """

    image_size: int = 160
    epochs: int = 12
    learning_rate: float = 5e-4
    init_weights: str = "imagenet"


def defaults_of(arch: str) -> Defaults:
    """Return the defaults of an architecture; raises `ArchitectureError`."""
    require_known(arch)
    if is_own(arch):  # it may give weights of its own
        return Defaults(init_weights="none")
    own = read_recipe(arch) if arch in recipe_names() else {}
    return Defaults(**{one.name: own[one.name] for one in fields(Defaults) if one.name in own})
