"""The label space: which classes a model answers with, and what a label says of an image.

One distribution over type x plane; a type's probability is its sum over planes, a plane's its sum
over types. The default is four types in three planes. What names mean is
`edge_mri.labels.vocabulary`, reading folders of images `edge_mri_train.data.folders`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ContractError, OptionError

TYPES = ("glioma", "meningioma", "pituitary", "no_tumor")
ABSENT = "no_tumor"
PRESENT = "tumor"
PLANES = ("axial", "coronal", "sagittal")
TASKS = ("type-plane", "type")

JOINER = "|"
"""Between the types of a label that names several."""

_RESERVED = (
    *("-", ".", "..", "all", "error", "foreign", "masks", "ok", "rejected", "skip"),
    *("undecided", "unfamiliar"),
)


@dataclass(frozen=True, init=False)
class Label:
    """What is known of an image: a set of types that it may show, and its plane.

    Attributes:
        types: One for a full label; several where only that much is known, such as all types but
            the absent one for "a tumour of some type".
        plane: Where the set names it.
    """

    types: tuple[str, ...]
    plane: str | None = None

    def __init__(self, types: str | Iterable[str], plane: str | None = None) -> None:
        """Make a label; one name stands for the set of it alone."""
        names = (types,) if isinstance(types, str) else tuple(types)
        object.__setattr__(self, "types", names)
        object.__setattr__(self, "plane", plane)

    @property
    def type(self) -> str | None:
        """The type, where the label names one alone."""
        return self.types[0] if len(self.types) == 1 else None

    def __str__(self) -> str:
        names = JOINER.join(self.types)
        return names if self.plane is None else f"{names}_{self.plane}"


@dataclass(frozen=True)
class LabelSpace:
    """The classes a model answers with, in the order of its logits.

    With planes the K = len(types) * len(planes) classes run type by type, planes innermost;
    without planes they are the K types.

    Attributes:
        types: Names of the types.
        planes: Names of the planes; empty for a model that does not answer the plane.
        absent: The type that means "nothing found". None: no type does, and then there is no
            P(present), no operating point and no lesion map. The default's, where it is not among
            the types, is none.
        present: What any type but the absent one is called, as in the record's key
            `tumor_probability`; None where there is no absent type.
    """

    types: tuple[str, ...] = TYPES
    planes: tuple[str, ...] = PLANES
    absent: str | None = ABSENT
    present: str | None = PRESENT

    def __post_init__(self) -> None:
        if self.absent == ABSENT and ABSENT not in self.types:
            object.__setattr__(self, "absent", None)
        if self.absent is None:
            object.__setattr__(self, "present", None)
        elif self.absent not in self.types or not self.present:
            raise ContractError(
                f"labels: absent is {self.absent!r} and present {self.present!r}, expected one of "
                "the types and a word for the others"
            )

    @classmethod
    def for_task(cls, task: str) -> "LabelSpace":
        """Return the default space of a task, `type-plane` (12 classes) or `type` (4)."""
        if task not in TASKS:
            raise OptionError(f"unknown task {task!r}; expected one of {', '.join(TASKS)}")
        return cls(planes=PLANES if task == "type-plane" else ())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LabelSpace":
        """Read a label space back.

        Without `absent` and `present`, as earlier versions wrote it, they are the default's.

        Raises:
            ContractError: It is anything but lists of names, and names.
        """
        if not {"types", "planes"} <= set(values) <= {"types", "planes", "absent", "present"}:
            raise ContractError(f"labels: expected types and planes, got {', '.join(values)}")
        for axis in ("types", "planes"):
            names = values[axis]
            named = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
            if not named or len(set(names)) < len(names) or (axis == "types" and not names):
                raise ContractError(
                    f"labels: {axis} is {names!r}, expected a list of distinct names"
                )
        for key in ("absent", "present"):
            if not isinstance(values.get(key), str | None):
                raise ContractError(f"labels: {key} is {values[key]!r}, expected a name or null")
        return cls(
            tuple(values["types"]),
            tuple(values["planes"]),
            values.get("absent", ABSENT),
            values.get("present", PRESENT),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "types": list(self.types),
            "planes": list(self.planes),
            "absent": self.absent,
            "present": self.present,
        }

    @property
    def classes(self) -> tuple[Label, ...]:
        """The K classes in the order of the logits."""
        planes: tuple[str | None, ...] = self.planes or (None,)
        return tuple(Label(type_, plane) for type_ in self.types for plane in planes)

    @property
    def present_types(self) -> tuple[str, ...]:
        """All types but the absent one; empty where there is none."""
        return () if self.absent is None else tuple(t for t in self.types if t != self.absent)

    @property
    def present_key(self) -> str | None:
        """Under which key records say P(present); None where there is no such thing."""
        return None if self.absent is None else f"{self.present}_probability"

    @property
    def present_word(self) -> str | None:
        """What people read for `present`."""
        return "tumour" if self.present == PRESENT else self.present

    def is_present(self, label: Label) -> bool | None:
        """Whether a label says that something is there; None where it leaves that open."""
        if self.absent is None:
            return None
        if self.absent in label.types:
            return False if len(label.types) == 1 else None
        return True

    def without_planes(self) -> "LabelSpace":
        """Return the space of a model that answers the type alone."""
        return replace(self, planes=())

    def type_probabilities(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum `(N, K)` class probabilities over planes to `(N, types)`."""
        sums: NDArray[np.float32] = self._table(probabilities).sum(axis=2)
        return sums

    def plane_probabilities(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Sum `(N, K)` class probabilities over types to `(N, planes)`; None without planes."""
        if not self.planes:
            return None
        sums: NDArray[np.float32] = self._table(probabilities).sum(axis=1)
        return sums

    def _table(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        return probabilities.reshape(len(probabilities), len(self.types), -1)


def why_no_name(name: str) -> str | None:
    """Return why a type or plane cannot be called so; None where it can."""
    if name in _RESERVED:
        return "that word has a meaning of its own here"
    if not name.strip() or name != name.strip():
        return "it is empty, or begins or ends with a space"
    if not name.isprintable():
        return "it has characters that cannot be printed, or is no valid text"
    if JOINER in name or "/" in name:
        return f"it has a {JOINER} or a /"
    return None
