"""The classes of a model made elsewhere: their names, and images in folders of these names.

Names that are spellings of the default types become those, so that the runtime knows which one
means that nothing was found; all others stay as they are.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_mri.errors import NoImagesError, OptionError
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.labels import Label, LabelSpace, parse_folder_name
from edge_mri_export.errors import CalibrationError
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.layout import parse_split

_MOST_BYTES = 2**20


def read_class_names(text: str) -> LabelSpace:
    """Return the classes that `--labels` names, in the order of the model's outputs.

    Args:
        text: Names with commas between; a .txt file with one a line; or a .toml file with a table
            `[types]` whose keys are the names, or a list `types`.

    Raises:
        OptionError: There are no names, or two that are alike.
    """
    suffix = Path(text).suffix.lower()
    from_file = suffix in (".toml", ".txt")
    names = _of_file(Path(text), suffix) if from_file else text.split(",")
    return class_space([name.strip() for name in names], text)


def class_space(names: Sequence[str], source: str = "labels") -> LabelSpace:
    """Return the label space of class names in the order of a model's outputs, without planes."""
    types = tuple(_type(name) for name in names)
    twice = [name for name, count in Counter(types).items() if count > 1]
    if "" in types or len(types) < 2 or twice:
        wrong = f"{', '.join(twice)} is there twice" if twice else f"there are {len(types)}"
        if "" in types:
            wrong = "one is empty"
        raise OptionError(
            f"--labels {source}: {wrong}; expected two or more distinct names, in the order of the "
            "model's outputs"
        )
    return LabelSpace(types, ())


def class_samples(folder: Path, space: LabelSpace) -> list[Sample]:
    """List the images below a folder with the class that the nearest folder above them names.

    Returns:
        All images with a label; or, where no folder has the name of a class, all with the empty
        one: nothing is known of them.

    Raises:
        NoImagesError: There is no image.
        CalibrationError: Some folders are classes and others are not.
    """
    classes = {_key(name): name for name in space.types}
    samples, unknown = [], []
    for file in ImageFiles([folder]):
        if not file.name.lower().endswith(SUFFIXES):
            continue
        path = file.relative_to(folder)
        parts = path.parts[:-1] or (folder.resolve().name,)
        name = next((one for part in reversed(parts) if (one := _class_of(part, classes))), "")
        split = next((side for part in reversed(parts) if (side := parse_split(part))), None)
        samples.append(Sample(folder, path, Label(name), split))
        if not name:
            unknown.append(file.parent)
    if not samples:
        raise NoImagesError([folder], SUFFIXES)
    if 0 < len(unknown) < len(samples):
        raise CalibrationError(
            f"{len(unknown)} of {len(samples)} images lie in folders that no class is called, the "
            f"first is {unknown[0]}; expected {', '.join(space.types[:10])}, or no class folders"
        )
    return samples


def _of_file(path: Path, suffix: str) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8-sig")
        if suffix == ".txt":
            return text.splitlines()
        types: Any = tomllib.loads(text).get("types")
    except OSError as error:
        raise OptionError(f"--labels {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOML's and UTF-8's
        raise OptionError(f"--labels {path} cannot be read: {error}") from error
    if not isinstance(types, dict | list) or not all(isinstance(one, str) for one in types):
        raise OptionError(f"--labels {path}: expected a table [types] or a list of names, types")
    return list(types)


def _type(name: str) -> str:
    known = parse_folder_name(name)
    return name if known is None or known.plane or known.type is None else known.type


def _class_of(folder: str, classes: Mapping[str, str]) -> str:
    """Return the class that a folder is called, in a spelling of its own or with a plane; or ""."""
    known = parse_folder_name(folder)
    type_ = known.type if known else None
    return classes.get(_key(folder)) or classes.get(_key(type_ or ""), "")


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", " ", _type(name)).strip().casefold()
