"""The classes of a model made elsewhere: their names, and images in folders of these names.

Where all names are spellings of the default types, they become those; else they stay as they are.
"""

from collections.abc import Sequence
from pathlib import Path

from edge_mri.errors import NoImagesError, OptionError, listed
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.labels import Label, LabelSpace, Vocabulary, parse_folder_name
from edge_mri.labels.vocabulary import means_nothing_found
from edge_mri_export.errors import CalibrationError
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.label_source import read_label_file, require_names, space_of_names
from edge_mri_train.data.layout import parse_split
from edge_mri_train.settings.data_file import read_text


def read_class_names(text: str) -> Vocabulary:
    """Return the classes that `--labels` names, in the order of the model's outputs.

    Args:
        text: Names with commas between; a .txt file with one a line; or a .toml file as `train`
            takes it, without planes.

    Raises:
        OptionError: There are no names, two that are alike, or one that means something else.
    """
    suffix = Path(text).suffix.lower()
    if suffix == ".toml":
        vocabulary = read_label_file(Path(text))
        if vocabulary.space.planes:
            raise OptionError(
                f"--labels {text}: a model made elsewhere answers no planes; drop them"
            )
        return vocabulary
    names = _lines(Path(text)) if suffix == ".txt" else text.split(",")
    return Vocabulary(class_space([name.strip() for name in names], text))


def class_space(names: Sequence[str], source: str = "labels") -> LabelSpace:
    """Return the label space of class names in the order of a model's outputs, without planes."""

    def wrong(reason: str) -> OptionError:
        return OptionError(
            f"--labels {source}: {reason}; expected two or more distinct names, in the order of "
            "the model's outputs"
        )

    if "" in names or len(names) < 2:
        raise wrong("one is empty" if "" in names else f"there are {len(names)}")
    known = [label.type if (label := parse_folder_name(name)) else None for name in names]
    defaults = tuple(name for name in known if name)
    types = defaults if len(defaults) == len(names) else tuple(names)
    require_names(types, wrong)
    if types == defaults:
        return LabelSpace(types, ())
    absent = [name for name in types if means_nothing_found(name)]
    if len(absent) > 1:
        raise wrong(
            f"{absent[0]} and {absent[1]} both say that nothing was found; a .toml file says with "
            "absent = which does"
        )
    return space_of_names(types)


def class_samples(folder: Path, vocabulary: Vocabulary) -> list[Sample]:
    """List the images below a folder with the class that the nearest folder above them names.

    Returns:
        All images with a label; or, where no folder has the name of a class, all with the empty
        one: nothing is known of them.

    Raises:
        NoImagesError: There is no image.
        CalibrationError: Some folders are classes and others are not.
    """
    samples, unknown = [], []
    for file in ImageFiles([folder]):
        if not file.name.lower().endswith(SUFFIXES):
            continue
        path = file.relative_to(folder)
        parts = path.parts[:-1] or (folder.resolve().name,)
        name = next((one for part in reversed(parts) if (one := _class_of(part, vocabulary))), "")
        split = next((side for part in reversed(parts) if (side := parse_split(part))), None)
        samples.append(Sample(folder, path, Label(name), split))
        if not name:
            unknown.append(file.parent)
    if not samples:
        raise NoImagesError([folder], SUFFIXES)
    if 0 < len(unknown) < len(samples):
        raise CalibrationError(
            f"{len(unknown)} of {len(samples)} images lie in folders that no class is called, the "
            f"first is {unknown[0]}; expected {listed(vocabulary.space.types)}, or no class folders"
        )
    return samples


def _lines(path: Path) -> list[str]:
    text = read_text(path, lambda reason: OptionError(f"--labels {path} cannot be read: {reason}"))
    return text.splitlines()


def _class_of(folder: str, vocabulary: Vocabulary) -> str:
    """Return the class that a folder is called, in any spelling or with a plane; else ""."""
    label = vocabulary.label_of(folder)
    return (label.type if label else None) or ""
