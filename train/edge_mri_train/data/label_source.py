"""Which labels there are: `--labels FILE.toml`, `--labels folders`, or the default space.

A file names them, in the order of the logits:

    absent = "healthy"            # the type that means "nothing found"; left out: none does
    present = "lesion"            # what the others together are called; [default: present]
    planes = ["axial", "coronal"] # or a table like [types]; left out: none

    [types]                       # each with further names that folders and files have for it
    healthy = ["no", "hc"]
    stroke = ["ischemia", "st"]

    [several]                     # names that mean one of several types
    lesion_unclear = ["stroke", "tumour"]

With `folders` the names of the class folders are the types, in the order of the alphabet.
"""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_mri.errors import OptionError, listed
from edge_mri.images import ImageFiles
from edge_mri.labels import LabelSpace, Vocabulary
from edge_mri.labels.space import JOINER, why_no_name
from edge_mri.labels.vocabulary import means_nothing_found
from edge_mri.remote.url import Place
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import inside
from edge_mri_train.data.layout import MASKS, SKIP, Layout, class_folders, says_nothing
from edge_mri_train.data.name_pattern import TYPE
from edge_mri_train.settings.config import FOLDERS
from edge_mri_train.settings.data_file import read_text

MOST_TYPES = 500
"""More are a mistake, such as a folder a patient, or need another toolkit."""

_KEYS = ("absent", "present", "planes", "types", "several")


def read_layout(
    labels: str | None,
    roots: Sequence[Place],
    maps: tuple[str, ...],
    index: Path | None,
    pattern: str | None,
    progress: Progress,
) -> Layout:
    """Return how sets are laid out, with the labels that `--labels` says.

    Args:
        labels: A TOML file, `folders`, or None: the default space.
        roots: The sets' folders, which `folders` reads.
        maps: See `Layout`.
        index: See `Layout`.
        pattern: See `NamePattern`.
        progress: Told what was read off the folders.

    Raises:
        OptionError: The labels cannot be used, or a map or pattern means nothing.
    """
    if labels != FOLDERS:
        vocabulary = Vocabulary() if labels is None else read_label_file(Path(labels))
        return Layout.from_options(maps, index, pattern, vocabulary)
    plain = Layout.from_options((), index, pattern)
    space = _space_of(_names(roots, maps, plain), by_pattern=plain.by_pattern)
    said = "none of them says that nothing was found"
    if space.absent is not None:
        said = f"{space.absent} means that nothing was found"
    progress.say(f"{len(space.types)} types, read off the folders: {listed(space.types)}; {said}.")
    return Layout.from_options(maps, index, pattern, Vocabulary(space))


def read_label_file(path: Path) -> Vocabulary:
    """Read a TOML file of labels; raises `OptionError` saying what is wrong."""

    def wrong(reason: str) -> OptionError:
        return OptionError(f"--labels {path}: {reason}")

    text = read_text(path, lambda reason: wrong(f"{reason}; expected a .toml file or {FOLDERS}"))
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise wrong(f"it is no TOML ({error})") from error
    if unknown := set(values) - set(_KEYS):
        raise wrong(f"it has {listed(sorted(unknown))}; expected some of {', '.join(_KEYS)}")
    types = _spellings(values.get("types"), "types", wrong)
    planes = _spellings(values.get("planes", []), "planes", wrong)
    several = _spellings(values.get("several", {}), "several", wrong)
    absent, present = values.get("absent"), values.get("present", "present")
    if not isinstance(absent, str | None) or not isinstance(present, str):
        raise wrong("absent and present are names")
    if absent is not None and absent not in types:
        raise wrong(f"absent is {absent!r}; expected one of the types {listed(list(types))}")
    require_names([*types, *planes], wrong)
    if (reason := why_no_name(present)) is not None:
        raise wrong(f"present is {present!r}: {reason}; expected a word such as lesion")
    words: dict[str, tuple[str, ...]] = {}
    meant = {name.casefold(): name for name in types}
    for name, spelled in types.items():
        words |= dict.fromkeys(spelled, (name,))
        for word in spelled:
            if (other := meant.setdefault(word.casefold(), name)) != name:
                raise wrong(f"{word!r} means both {other} and {name}; expected one type")
    for word, named in several.items():
        if not named or not set(named) <= set(types):
            raise wrong(f"several: {word!r} means {named!r}; expected names of types")
        if word.casefold() in meant:
            already = meant[word.casefold()]
            raise wrong(f"several: {word!r} means {already} already; choose another name")
        words[word] = tuple(name for name in types if name in named)
    space = LabelSpace(tuple(types), tuple(planes), absent, present)
    return Vocabulary(
        space, words, {word: name for name, words in planes.items() for word in words}
    )


def _names(roots: Sequence[Place], maps: tuple[str, ...], layout: Layout) -> Iterator[str]:
    """Yield the label of each image, as its folder, the index or a map has it."""
    mapped = {}
    for text in maps:
        folder, _, meaning = text.partition("=")
        mapped[folder.lower()] = meaning
    for name in _plain_names(roots, layout):
        meaning = mapped.get(name.lower(), name)
        if meaning != SKIP:
            yield from meaning.split(JOINER)


def _plain_names(roots: Sequence[Place], layout: Layout) -> Iterator[str]:
    if layout.index is not None:
        yield from layout.labels()
        return
    for root in roots:
        for file in ImageFiles([root]):
            path = inside(root, file)
            if MASKS in map(str.lower, path.parts[:-1]):
                continue
            if layout.pattern is not None and layout.pattern.finds_type:
                found = layout.pattern.found(path) or {}
                if TYPE in found:
                    yield found[TYPE]
                continue
            names = class_folders(path.parts[:-1], root)
            yield next((one for one in names if not says_nothing(one)), root.resolve().name)


def _space_of(names: Iterator[str], *, by_pattern: bool) -> LabelSpace:
    types = sorted({name.strip() for name in names})

    def wrong(reason: str) -> OptionError:
        return OptionError(f"--labels {FOLDERS}: {reason}")

    if not types:
        if by_pattern:
            raise wrong("--pattern finds no type in the name of any image; it is searched in paths")
        raise wrong("there is no image in any folder")
    if len(types) == 1:
        raise wrong(
            f"all images are of one type, {types[0]}; expected folders of two or more to tell apart"
        )
    require_names(types, wrong)
    absent = [name for name in types if means_nothing_found(name)]
    if len(absent) > 1:
        raise wrong(
            f"{' and '.join(absent)} both say that nothing was found; make them one type: "
            f"--map '{absent[1]}={absent[0]}'"
        )
    return space_of_names(types)


def space_of_names(types: Sequence[str]) -> LabelSpace:
    """Return the space of types by their own names; the first that says so is the absent one."""
    absent = next(filter(means_nothing_found, types), None)
    if absent is None:
        return LabelSpace(tuple(types), (), None)
    others = [name for name in types if name != absent]
    present = "tumor" if "tumo" in absent.lower() else "present"
    return LabelSpace(tuple(types), (), absent, others[0] if len(others) == 1 else present)


def require_names(names: Sequence[str], wrong: Any) -> None:
    """Refuse names that cannot be told apart, or mean something else."""
    if len(names) > MOST_TYPES:
        raise wrong(
            f"{len(names)} types, such as {listed(names, most=3)}; expected at most {MOST_TYPES}: "
            "are they patients rather than types?"
        )
    known: dict[str, str] = {}
    for name in names:
        if reason := why_no_name(name):
            raise wrong(f"a type or plane cannot be called {name!r}: {reason}; choose another name")
        if names.count(name) > 1:
            raise wrong(f"{name!r} is there twice; choose another name for one")
        if (first := known.setdefault(name.casefold(), name)) != name:
            raise wrong(
                f"{first!r} and {name!r} are told apart by their case alone; rename one, or make "
                f"them one type: --map '{name}={first}'"
            )


def _spellings(values: Any, key: str, wrong: Any) -> dict[str, list[str]]:
    """Return names with their further spellings, from a list of names or a table of lists."""
    if isinstance(values, list) and all(isinstance(name, str) for name in values):
        require_names(values, wrong)
        values = {name: [] for name in values}
    if not isinstance(values, dict) or (key == "types" and len(values) < 2):
        raise wrong(f"{key}: expected a table of names, each with a list of spellings, two or more")
    for name, words in values.items():
        if not isinstance(words, list) or not all(isinstance(one, str) for one in words):
            raise wrong(f"{key}: {name} is {words!r}; expected a list of names")
    return values
