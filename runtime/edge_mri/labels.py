"""The label space: four types, three planes, and the folder names that mean them.

One distribution over type x plane serves both image sets; a type's probability is its sum over
planes, a plane's its sum over types. Reading folders of images is `edge_mri_train.data.folders`.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ContractError, OptionError

TYPES = ("glioma", "meningioma", "pituitary", "no_tumor")
NO_TUMOR = "no_tumor"
PLANES = ("axial", "coronal", "sagittal")
TASKS = ("type-plane", "type")

_TYPE_SPELLINGS = {
    "glioma": "glioma",
    "gliomas": "glioma",
    "meningioma": "meningioma",
    "meningiomas": "meningioma",
    "pituitary": "pituitary",
    "no": "no_tumor",
    "non": "no_tumor",
    "none": "no_tumor",
    "normal": "no_tumor",
    "healthy": "no_tumor",
}
_PLANE_SPELLINGS = {
    "axial": "axial",
    "transverse": "axial",
    "transversal": "axial",
    "coronal": "coronal",
    "sagittal": "sagittal",
    "ax": "axial",
    "cor": "coronal",
    "sag": "sagittal",
}


@dataclass(frozen=True)
class Label:
    """What is known of an image: its type, and its plane where the set names it."""

    type: str
    plane: str | None = None

    def __str__(self) -> str:
        return self.type if self.plane is None else f"{self.type}_{self.plane}"


@dataclass(frozen=True)
class LabelSpace:
    """The classes a model answers with, in the order of its logits.

    With planes the K = len(types) * len(planes) classes run type by type, planes innermost;
    without planes they are the K types.

    Attributes:
        types: Names of the types; `no_tumor` is the one without a tumour.
        planes: Names of the planes; empty for a model that does not answer the plane.
    """

    types: tuple[str, ...] = TYPES
    planes: tuple[str, ...] = PLANES

    @classmethod
    def for_task(cls, task: str) -> "LabelSpace":
        """Return the label space of a task, `type-plane` (12 classes) or `type` (4)."""
        if task not in TASKS:
            raise OptionError(f"unknown task {task!r}; expected one of {', '.join(TASKS)}")
        return cls(planes=PLANES if task == "type-plane" else ())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LabelSpace":
        """Read a label space back; raises `ContractError` on anything but two lists of names."""
        if set(values) != {"types", "planes"}:
            raise ContractError(f"labels: expected types and planes, got {', '.join(values)}")
        for axis, names in values.items():
            named = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
            if not named or len(set(names)) < len(names) or (axis == "types" and not names):
                raise ContractError(
                    f"labels: {axis} is {names!r}, expected a list of distinct names"
                )
        return cls(tuple(values["types"]), tuple(values["planes"]))

    @property
    def classes(self) -> tuple[Label, ...]:
        """The K classes in the order of the logits."""
        planes: tuple[str | None, ...] = self.planes or (None,)
        return tuple(Label(type_, plane) for type_ in self.types for plane in planes)

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


def parse_folder_name(name: str) -> Label | None:
    """Return the label that a folder name means, or None.

    Case, separators, word order, a plural and the word "tumor" do not matter, nor does "adenoma"
    beside the pituitary: `glioma_tumor`, `notumor`, `no_transverse`, `Sagittal-Pituitary`,
    `Pituitary adenomas`.
    """
    words = re.findall(r"[a-z]+", re.sub(r"tumou?rs?", " ", name.lower()))
    if any(word.startswith("pituitary") for word in words):
        parts = (re.sub(r"(micro|macro)?adenomas?$", "", word) for word in words)
        words = [word for word in parts if word]
    types = [_TYPE_SPELLINGS[word] for word in words if word in _TYPE_SPELLINGS]
    planes = [_PLANE_SPELLINGS[word] for word in words if word in _PLANE_SPELLINGS]
    if len(types) != 1 or len(planes) > 1 or len(types) + len(planes) != len(words):
        return None
    return Label(types[0], planes[0] if planes else None)
