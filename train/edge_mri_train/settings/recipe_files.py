"""Recipes: what each network is trained with, as TOML files.

A recipe sets any field of `TrainConfig` but the images, teachers and device, which are the user's;
its `[augment]` table is an `AugmentConfig`.
"""

import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge_mri.errors import OptionError
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.errors import first_line
from edge_mri_train.settings.config import TrainConfig, require_settings
from edge_mri_train.settings.data_file import read_text

_FOLDER = files("edge_mri_train.settings") / "recipes"
_SUFFIX = ".toml"
_MOST_BYTES = 2**14  # tomllib takes the square of the length of a dotted key
_THE_USERS = ("data", "device", "distill", "distill_arch", "fold", "index", "maps", "split")


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the toolkit."""
    return sorted(
        one.name.removesuffix(_SUFFIX) for one in _FOLDER.iterdir() if one.name.endswith(_SUFFIX)
    )


def read_recipe(name: str) -> dict[str, Any]:
    """Return a recipe as fields of `TrainConfig`.

    Args:
        name: One of `recipe_names`, or the path of a TOML file.

    Raises:
        OptionError: There is no such recipe, or it sets something that is not a recipe's, or
            a value that a run cannot have.
    """
    text = _text(name)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOML; tables within tables
        raise OptionError(f"the recipe {name} cannot be read: {first_line(error)}") from error
    if isinstance(sets := values.get("validate_only"), list):
        values["validate_only"] = tuple(sets)
    known = {one.name for one in fields(TrainConfig)} - set(_THE_USERS)
    if unknown := sorted(set(values) - known):
        raise OptionError(
            f"the recipe {name} sets {', '.join(unknown)}; "
            f"a recipe knows {', '.join(sorted(known))}"
        )
    if "augment" in values:
        if not isinstance(values["augment"], dict):
            raise OptionError(
                f"the recipe {name}: augment is {values['augment']!r}; expected a table [augment]"
            )
        changes = {one.name for one in fields(AugmentConfig)}
        if unknown := sorted(set(values["augment"]) - changes):
            raise OptionError(
                f"the recipe {name} augments with {', '.join(unknown)}; "
                f"expected {', '.join(sorted(changes))}"
            )
    try:
        if "augment" in values:
            values["augment"] = AugmentConfig(**values["augment"])
        require_settings(values)
    except OptionError as error:
        raise OptionError(f"the recipe {name}: {error}") from error
    return values


def _text(name: str) -> str:
    if name.endswith(_SUFFIX):
        return read_text(
            Path(name),
            lambda reason: OptionError(f"the recipe {name} cannot be read: {reason}"),
            most_bytes=_MOST_BYTES,
        )
    if name not in recipe_names():
        raise OptionError(
            f"no recipe {name!r}; expected a .toml file, or one of {', '.join(recipe_names())}"
        )
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
