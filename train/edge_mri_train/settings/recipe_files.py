"""Recipes: what each network is trained with, as TOML files.

A recipe sets any field of `TrainConfig` but the images, teachers and device, which are the user's;
its `[augment]` table is an `AugmentConfig`. Tables `[[stage]]` make a run of several stages
(`edge_mri_train.training.stages`): each has a `name`, sets fields over those above, and may have
`start`, the name of an earlier stage whose weights it starts from, and `teachers`, names of earlier
ones that teach it.
"""

import re
import tomllib
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class StageRecipe:
    """What a recipe says of one stage.

    Attributes:
        name: Its name; "" for the only one.
        values: Fields of `TrainConfig`.
        start: The earlier stage whose weights it starts from.
        teachers: The earlier stages that teach it.
    """

    name: str
    values: dict[str, Any]
    start: str | None = None
    teachers: tuple[str, ...] = ()


def read_recipe(name: str) -> list[StageRecipe]:
    """Return the stages of a recipe, at least one.

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
    tables = values.pop("stage", None)
    if tables is None:
        return [StageRecipe("", _settings(name, values))]
    if not isinstance(tables, list) or not tables:
        raise OptionError(f"the recipe {name}: stage is {tables!r}; expected tables [[stage]]")
    stages: list[StageRecipe] = []
    for table in tables:
        stages.append(_stage(name, table, values, [one.name for one in stages]))
    return stages


def _stage(
    name: str, table: dict[str, Any], above: dict[str, Any], earlier: list[str]
) -> StageRecipe:
    own, start = table.pop("name", None), table.pop("start", None)
    teachers = table.pop("teachers", [])
    if not isinstance(own, str) or not re.fullmatch(r"[a-z0-9_-]+", own) or own in earlier:
        raise OptionError(
            f"the recipe {name} has a stage of the name {own!r}; expected one that no other has, "
            "of small letters, digits, - and _"
        )
    if not isinstance(teachers, list):
        raise OptionError(f"the recipe {name}: teachers is {teachers!r}; expected names of stages")
    for other in [*teachers, *([] if start is None else [start])]:
        if other not in earlier:
            raise OptionError(
                f"the recipe {name}: stage {own} names {other!r}, which is no stage before it"
            )
    tables = above.get("augment", {}), table.get("augment", {})
    if all(isinstance(one, dict) for one in tables):
        table["augment"] = tables[0] | tables[1]
    return StageRecipe(own, _settings(name, above | table), start, tuple(teachers))


def _settings(name: str, values: dict[str, Any]) -> dict[str, Any]:
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
