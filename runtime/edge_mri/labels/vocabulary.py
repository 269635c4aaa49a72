"""The words that mean labels: names of folders, cells of an index, parts of file names.

Case, separators, a number, the word "tumor" and the order of type and plane do not matter:
`glioma_tumor`, `notumor`, `no_transverse`, `3.Sagittal-Pituitary`. Words of the default space mean
the same in any space that has such a type. Which words a user's own file adds is
`edge_mri_train.data.label_source`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from edge_mri.labels.space import ABSENT, JOINER, PLANES, Label, LabelSpace

_TYPES = {
    "glioma": (
        *("gliomas", "astrocytoma", "astrocytomas", "astrocitoma", "gbm"),
        *("glioblastoma", "glioblastomas", "oligodendroglioma", "oligodendrogliomas"),
    ),
    "meningioma": ("meningiomas",),
}
_SHORT = {"gl": "glioma", "me": "meningioma", "pi": "pituitary", "nt": ABSENT}
_SHORT_PLANES = {"co": "coronal", "sa": "sagittal", "tra": "axial"}
"""What names of files abbreviate; as the name of a folder it may mean anything."""

_ABSENT = ("no", "non", "none", "normal", "healthy")
_PRESENT = ("tumor", "tumour", "tumors", "tumours", "yes", "positive")
_OTHER_KINDS = (
    *("carcinoma", "choroid plexus papilloma", "craniopharyngioma", "ependymoma", "ependimoma"),
    *("ganglioglioma", "germinoma", "hemangioblastoma", "lymphoma", "medulloblastoma"),
    *("meduloblastoma", "metastases", "metastasis", "neurinoma", "neurocytoma", "neurocitoma"),
    *("papilloma", "papiloma", "schwannoma"),
)
"""Tumours that the default space has no type for: each is any type but the absent one."""

_PLANES = {
    "axial": ("transverse", "transversal", "ax"),
    "coronal": ("cor",),
    "sagittal": ("sag",),
}


@dataclass(frozen=True)
class Vocabulary:
    """What names mean in a label space.

    Attributes:
        space: The types and planes.
        words: Further names, each with the types that it means.
        plane_words: Further names of planes.
    """

    space: LabelSpace = field(default_factory=LabelSpace)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    plane_words: Mapping[str, str] = field(default_factory=dict)

    def label_of(self, name: str) -> Label | None:
        """Return the label that a name means, or None."""
        if name in self.space.types:
            return Label(name)
        key = _key(name)
        if key in self._types:
            return Label(self._types[key])
        for words in (key.split(), _plain_words(name)):
            planes = [self._planes[word] for word in words if word in self._planes]
            rest = " ".join(word for word in words if word not in self._planes)
            if len(planes) < 2 and rest in self._types:
                return Label(self._types[rest], planes[0] if planes else None)
        return None

    def plane_of(self, name: str) -> str | None:
        """Return the plane that a name means by itself, or None."""
        return name if name in self.planes else self._planes.get(_key(name))

    @property
    def planes(self) -> tuple[str, ...]:
        """The planes that labels may name; a model that answers none may still be told of them."""
        return self.space.planes or tuple(name for name in PLANES if name not in self._types)

    def type_in_name(self, part: str) -> Label | None:
        """Return what a part of a file's name means, abbreviations too, or None."""
        return self.label_of(part) or self.label_of(_SHORT.get(part.lower(), ""))

    def plane_in_name(self, part: str) -> str | None:
        """Return the plane that a part of a file's name means, abbreviations too, or None."""
        return self.plane_of(part) or self.plane_of(_SHORT_PLANES.get(part.lower(), ""))

    def within(self, space: LabelSpace) -> "Vocabulary":
        """Return the same words in another space, such as a model's, where they have a meaning."""
        words = {word: one for word, one in self.words.items() if {*one} <= {*space.types}}
        planes = {word: one for word, one in self.plane_words.items() if one in space.planes}
        return Vocabulary(space, words, planes)

    def parse(self, text: str) -> Label | None:
        """Return what `LABEL` or `LABEL|LABEL` means, as manifests and `--map` have it, or None."""
        labels = [self.label_of(part) for part in text.split(JOINER)]
        known = [label for label in labels if label is not None]
        if len(known) < len(labels) or len({label.plane for label in known}) != 1:
            return None
        named = {name for label in known for name in label.types}
        return Label([name for name in self.space.types if name in named], known[0].plane)

    @cached_property
    def _types(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for types, word in self._type_words():
            if (key := _key(word)) and types:
                found.setdefault(key, types)
        return found

    @cached_property
    def _planes(self) -> dict[str, str]:
        found = {_key(plane): plane for plane in self.planes}
        for word, plane in self.plane_words.items():
            found.setdefault(_key(word), plane)
        for plane, words in _PLANES.items():
            for word in words if plane in self.planes else ():
                found.setdefault(word, plane)
        return {word: plane for word, plane in found.items() if word not in self._types}

    def _type_words(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what means which types; the first that says so counts."""
        space = self.space
        for name in space.types:
            yield (name,), name
        for word, types in self.words.items():
            yield types, word
        for name, words in _TYPES.items():
            for word in words if name in space.types else ():
                yield (name,), word
        if space.absent is None:
            return
        for word in _ABSENT:
            yield (space.absent,), word
        for word in (space.present or "", *_PRESENT, *_OTHER_KINDS):
            yield space.present_types, word


def parse_folder_name(name: str) -> Label | None:
    """Return the label that a folder name means in the default space, or None."""
    return _DEFAULT.label_of(name)


def means_nothing_found(name: str) -> bool:
    """Whether a name is a known spelling of "nothing found"."""
    label = parse_folder_name(name)
    return label is not None and label.types == (ABSENT,)


def _key(name: str) -> str:
    """Return a name without case and separators."""
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _plain_words(name: str) -> list[str]:
    """Return the words of letters, without tumours, and without adenomas of the pituitary."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"tumou?rs?", " ", name.lower()))
    if any(word.startswith("pituitary") for word in words):
        parts = (re.sub(r"(micro|macro)?adenomas?$", "", word) for word in words)
        words = [word for word in parts if word]
    return words


_DEFAULT = Vocabulary()
