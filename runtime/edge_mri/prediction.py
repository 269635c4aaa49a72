"""What a model says about one image: the record that every output format shares."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_mri.audit import Audit
from edge_mri.labels import LabelSpace

Status = Literal["ok", "error"]


@dataclass(frozen=True)
class Prediction:
    """One record.

    Attributes:
        path: The file as it was given, or "" for bytes and arrays.
        status: `ok`, or `error` with a reason in `error` and None elsewhere.
        type: The most probable type.
        plane: The most probable plane; None for a model that knows no planes.
        type_probabilities: Probability of each type; they sum to 1.
        plane_probabilities: Probability of each plane; None for a model that knows no planes.
        error: Why there is no answer.
        frame: Which image of the file it is, from 1; None where the file holds one.
        series: What the slices of one DICOM series share, see `edge_mri.images.Frame`; for
            `edge_mri.volumes`, not written.
        audit: Where the record comes from; only when that was asked for.
    """

    path: str
    status: Status
    type: str | None = None
    plane: str | None = None
    type_probabilities: dict[str, float] | None = None
    plane_probabilities: dict[str, float] | None = None
    error: str | None = None
    frame: int | None = None
    series: str | None = None
    audit: Audit | None = None

    def at(self, frame: int | None, plane: str | None, series: str | None = None) -> "Prediction":
        """Return the record as that of a frame; a plane that the file itself tells goes first."""
        if frame is None and plane is None and series is None:
            return self
        return replace(self, frame=frame, plane=plane or self.plane, series=series)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values; without `series`, and `audit` where there is none."""
        values = asdict(self)
        del values["series"]
        if self.audit is None:
            del values["audit"]
        return values

    @classmethod
    def failed(cls, path: str, reason: str) -> "Prediction":
        """Return the record of an image that could not be used."""
        return cls(path, "error", error=reason)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Turn `(N, K)` logits into probabilities; a temperature above 1 makes them less sure."""
    scaled = logits / np.float32(temperature)
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def predictions(
    paths: list[str], probabilities: NDArray[np.float32], labels: LabelSpace
) -> list[Prediction]:
    """Turn `(N, K)` class probabilities into N records."""
    types = labels.type_probabilities(probabilities)
    planes = labels.plane_probabilities(probabilities)
    records = []
    for row, path in enumerate(paths):
        by_type = _named(labels.types, types[row])
        by_plane = _named(labels.planes, planes[row]) if planes is not None else None
        records.append(
            Prediction(
                path=path,
                status="ok",
                type=max(by_type, key=by_type.__getitem__),
                plane=max(by_plane, key=by_plane.__getitem__) if by_plane else None,
                type_probabilities=by_type,
                plane_probabilities=by_plane,
            )
        )
    return records


def _named(names: tuple[str, ...], values: NDArray[np.float32]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}
