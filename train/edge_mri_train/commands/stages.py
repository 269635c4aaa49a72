"""What the options of `edge-mri train` say, over what the recipe says of each stage."""

from dataclasses import asdict, replace
from typing import Any

import click
from click.core import ParameterSource

from edge_mri.errors import OptionError
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.networks.initial_weights import IMAGENET, SHIPPED
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.recipe_files import StageRecipe, read_recipe
from edge_mri_train.training.configured import defaults_of
from edge_mri_train.training.stages import Stage

OF_SHIPPED = "edge_net_own"
"""The recipe of a run that starts from the packaged model and names no other."""

_LISTS = ("data", "distill", "distill_arch", "validate_only")


def stages_of(ctx: click.Context, options: dict[str, Any]) -> list[Stage]:
    """Return the stages of a run, one where no recipe says more.

    Args:
        ctx: Of the command, which knows what was typed.
        options: Their values; what is no setting of a run is taken out.

    Raises:
        OptionError: They exclude each other, or have values that a run cannot have.
    """
    if options["split"] and any(options[one] for one in ("labels", "maps", "pattern", "index")):
        raise OptionError(
            "a manifest holds the labels already; leave out --labels, --map, --pattern and --index"
        )
    if bool(options["data"]) == bool(options["split"]):
        raise OptionError(
            "expected either --data, at least one folder with class folders, or --split, "
            "a manifest of `edge-mri split`"
        )
    name = options.pop("recipe_name")
    if name is None and options["init_weights"] == SHIPPED and "arch" not in _typed(ctx, options):
        name = OF_SHIPPED
    recipes = read_recipe(name) if name else [StageRecipe("", {})]
    if len(recipes) > 1 and "arch" in _typed(ctx, options):
        raise OptionError(f"--arch names one network, and the recipe {name} trains several stages")
    augmented, switches = options.pop("augment"), options.pop("switches")
    others = {**options, "init_weights": None}  # a file in place of ImageNet's weights alone
    stages = []
    for one in recipes:
        is_other = len(recipes) > 1 and one.values.get("init_weights") != IMAGENET
        told = others if is_other else options
        config = _config(ctx, told, one.values, name, augmented=augmented, switches=switches)
        stages.append(Stage(one.name, config, one.start, one.teachers))
    return stages


def _typed(ctx: click.Context, options: dict[str, Any]) -> set[str]:
    return {key for key in options if ctx.get_parameter_source(key) is ParameterSource.COMMANDLINE}


def _config(
    ctx: click.Context,
    options: dict[str, Any],
    recipe: dict[str, Any],
    name: str | None,
    *,
    augmented: bool,
    switches: tuple[str, ...],
) -> TrainConfig:
    """Return what the options say, over what a stage says, over the network's own."""
    values = dict(recipe)
    typed = _typed(ctx, options)
    given = {key for key in options if key in typed or key not in values}
    augment = values.get("augment", AugmentConfig()) if augmented else AugmentConfig.none()
    values["augment"] = _switched(augment, switches)
    if is_own(values.get("arch", "")) and "arch" not in given:
        raise OptionError(
            f"the recipe {name} names the function {values['arch']}, whose code runs only where "
            f"you name it; add --arch {values['arch']} if you trust it"
        )
    set_ = {key: options[key] for key in options if key in given and options[key] is not None}
    paths = {key: str(set_[key]) for key in ("index", "split") if key in set_}
    lists = {key: tuple(str(one) for one in set_[key]) for key in _LISTS if key in set_}
    values = values | set_ | paths | lists
    return TrainConfig(**asdict(defaults_of(values["arch"])) | values)


def _switched(augment: AugmentConfig, switches: tuple[str, ...]) -> AugmentConfig:
    shares: dict[str, float] = {}
    for switch in switches:
        name, _, share = switch.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            name = ""
        if name not in asdict(augment):
            raise OptionError(
                f"--augment-with {switch!r}; expected NAME=SHARE with a name of "
                f"{', '.join(asdict(augment))} and a share of 0 to 1"
            )
    return replace(augment, **shares)
