"""The guard: whether an ONNX file gives the reference's answers on the same labelled images.

Covers what is measured and what is allowed. Which images are compared is
`edge_mri_export.calibration`, what a model says of them `edge_mri_export.answers`, what is tried
when a file fails `edge_mri_export.search`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_mri.contract import Contract
from edge_mri.labels import NO_TUMOR, Label
from edge_mri.prediction import softmax
from edge_mri_export.answers import Answers
from edge_mri_export.errors import ParityError
from edge_mri_train.metrics import calibration_error

FP32_TOLERANCE = 1e-4
"""Largest difference of a logit, as a share of the largest logit where that is above 1."""

REFERENCE = "PyTorch FP32"

_LISTED = 5
_MOVED_CELLS = 1

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Flip:
    """An image whose most probable class changed."""

    path: str
    label: str
    reference: str
    other: str


@dataclass(frozen=True)
class Parity:
    """How far one model's answers are from another's on the same images.

    Sensitivities and the error of calibration need labels; without them they are empty, None.

    Attributes:
        n: Number of images.
        max_logit_difference: The largest absolute difference.
        mean_logit_difference: The mean absolute difference.
        agreement: Share of images with the same most probable class, 0 to 1.
        logit_scale: The largest absolute logit of the reference, at least 1.
        flipped: The images whose most probable class changed.
        sensitivity_change: `type` and `plane`, each class's sensitivity less the reference's.
        support: `type` and `plane`, how many images of each class there are.
        ece: Expected calibration error of the type, of the reference and of the other.
        only_reference_right: Images whose type only the reference gets right.
        only_other_right: Images whose type only the other gets right.
        mcnemar_p: Exact p-value that the two are equally often right (McNemar 1947).
        threshold_crossed: Images whose P(any tumour) lies on the other side of the operating
            point.
        lesion_peaks_moved: Images called tumour by the reference whose lesion map's peak moved by
            more than one cell; None without a lesion map.
    """

    n: int
    max_logit_difference: float
    mean_logit_difference: float
    agreement: float
    logit_scale: float
    flipped: tuple[Flip, ...] = ()
    sensitivity_change: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    support: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    ece: tuple[float, float] | None = None
    only_reference_right: int = 0
    only_other_right: int = 0
    mcnemar_p: float | None = None
    threshold_crossed: int = 0
    lesion_peaks_moved: int | None = None

    @property
    def worst_sensitivity_change(self) -> float:
        """The largest loss of a class's sensitivity, 0 or below; -0.01 is one point."""
        changes = [one for axis in self.sensitivity_change.values() for one in axis.values()]
        return min([0.0, *changes])

    def to_dict(self) -> dict[str, Any]:
        """Return what a contract says of it, as JSON values; names no file."""
        values = asdict(self)
        del values["logit_scale"]
        values["flipped"] = len(self.flipped)
        values["ece"] = None if self.ece is None else list(self.ece)
        return {"reference": REFERENCE, **values}

    def to_report(self) -> dict[str, Any]:
        """Return `to_dict` with the flipped images by path."""
        return {**self.to_dict(), "flipped": [asdict(flip) for flip in self.flipped]}

    def losses(self, max_drop: float) -> list[str]:
        """Return what fell by more than `max_drop` percent, worst first; empty if nothing did."""
        losses = {
            f"the answer changes on {100 * (1 - self.agreement):.2f} % of {self.n} images": (
                1 - self.agreement
            )
        }
        for axis, changes in self.sensitivity_change.items():
            for name, change in changes.items():
                n = self.support[axis][name]
                losses[
                    f"{name} loses {-100 * change:.2f} points of sensitivity ({n} images)"
                ] = -change
        losses[f"P(tumour) crosses its operating point on {self.threshold_crossed} images"] = (
            self.threshold_crossed / self.n
        )
        if self.lesion_peaks_moved is not None:
            losses[f"the lesion map's peak moves on {self.lesion_peaks_moved} images"] = (
                self.lesion_peaks_moved / self.n
            )
        if not np.isfinite(self.max_logit_difference):
            losses["some logits are no numbers"] = 1.0
        allowed = max_drop / 100 + 1e-9
        return [
            text
            for text, loss in sorted(losses.items(), key=lambda item: -item[1])
            if not loss <= allowed
        ]

    def require_same_logits(self) -> None:
        """Raise `ParityError` unless the logits are those of the original, up to rounding."""
        allowed = FP32_TOLERANCE * self.logit_scale
        if not self.max_logit_difference <= allowed:
            raise ParityError(
                f"the FP32 ONNX file differs from PyTorch: logits by up to "
                f"{self.max_logit_difference:.2g} on {self.n} images, allowed {allowed:.2g}; "
                "no file was written"
            )

    def require_no_loss(self, max_drop: float, kind: str = "INT8", tried: int = 1) -> None:
        """Raise `ParityError` when agreement or a class falls by more than `max_drop` percent.

        Args:
            max_drop: What may be lost.
            kind: What the file is called.
            tried: The best of how many this is.
        """
        losses = self.losses(max_drop)
        if losses:
            more = f", and {len(losses) - _LISTED} more" if len(losses) > _LISTED else ""
            best = f", the best of {tried} tried," if tried > 1 else ""
            raise ParityError(
                f"{kind}{best} does not give PyTorch's answers: "
                f"{'; '.join(losses[:_LISTED])}{more}; "
                f"allowed {max_drop:g} %. No {kind} file was written. Calibrate with more or other "
                "images (--calibration DIR), train it for INT8 (--quantize int8-qat), or allow "
                "more with --max-drop"
            )


def compare(
    reference: Answers,
    other: Answers,
    labels: Sequence[Label],
    paths: Sequence[str],
    contract: Contract,
) -> Parity:
    """Compare two models' answers to the same N images.

    Args:
        reference: The answers that count as given.
        other: The answers that are measured.
        labels: What is known of each image; empty where nothing is.
        paths: Name of each image, for the list of flips; empty for numbers.
        contract: Classes, temperature and operating point of both.
    """
    difference = np.abs(reference.logits - other.logits)
    first, second = (one.logits.argmax(axis=1) for one in (reference, other))
    finite = bool(np.isfinite(difference).all())
    figures = (
        _against_labels(reference.logits, other.logits, labels, contract)
        if labels and finite
        else {}
    )
    names = [str(label) for label in contract.labels.classes]
    return Parity(
        n=len(reference.logits),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        agreement=float((first == second).mean()),
        logit_scale=max(float(np.abs(reference.logits).max()), 1.0),
        flipped=tuple(
            Flip(
                paths[row] if paths else str(row),
                str(labels[row]) if labels else "",
                names[first[row]],
                names[second[row]],
            )
            for row in np.flatnonzero(first != second).tolist()
        ),
        threshold_crossed=int(
            (_is_tumor(reference.logits, contract) != _is_tumor(other.logits, contract)).sum()
        ),
        lesion_peaks_moved=_peaks_moved(reference, other, contract),
        **figures,
    )


def _against_labels(
    reference: Logits, other: Logits, labels: Sequence[Label], contract: Contract
) -> dict[str, Any]:
    """Return the figures that need to know what the images show."""
    space = contract.labels
    first, second = (softmax(logits, contract.temperature) for logits in (reference, other))
    axes: list[tuple[str, tuple[str, ...], Callable[..., Any], list[str | None]]] = [
        ("type", space.types, space.type_probabilities, [label.type for label in labels])
    ]
    if space.planes:
        planes = [label.plane for label in labels]
        axes.append(("plane", space.planes, space.plane_probabilities, planes))
    changes: dict[str, dict[str, float]] = {}
    support: dict[str, dict[str, int]] = {}
    figures: dict[str, Any] = {"sensitivity_change": changes, "support": support}
    for axis, names, summed, truth in axes:
        columns = np.array([names.index(name) if name in names else -1 for name in truth])
        before, after = summed(first), summed(second)
        right = [one.argmax(axis=1) == columns for one in (before, after)]
        there = [name for column, name in enumerate(names) if (columns == column).any()]
        members = {name: columns == names.index(name) for name in there}
        changes[axis] = {
            name: float(right[1][rows].mean() - right[0][rows].mean())
            for name, rows in members.items()
        }
        support[axis] = {name: int(rows.sum()) for name, rows in members.items()}
        if axis == "type":
            lost, won = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
            figures |= {
                "ece": (calibration_error(before, columns), calibration_error(after, columns)),
                "only_reference_right": lost,
                "only_other_right": won,
                "mcnemar_p": float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
            }
    return figures


def _is_tumor(logits: Logits, contract: Contract) -> NDArray[np.bool_]:
    """Return which images are called tumour at the contract's operating point."""
    types = contract.labels.type_probabilities(softmax(logits, contract.temperature))
    if NO_TUMOR not in contract.labels.types:
        return np.ones(len(logits), np.bool_)
    called: NDArray[np.bool_] = (
        1 - types[:, contract.labels.types.index(NO_TUMOR)] >= contract.tumor_threshold
    )
    return called


def _peaks_moved(reference: Answers, other: Answers, contract: Contract) -> int | None:
    """Count the tumours whose lesion map has its peak more than one cell elsewhere."""
    if reference.lesion is None or other.lesion is None:
        return None
    peaks = []
    for maps in (reference.lesion, other.lesion):
        flat = maps.reshape(len(maps), -1).argmax(axis=1)
        peaks.append(np.stack(np.divmod(flat, maps.shape[-1])))
    distance = np.abs(peaks[0] - peaks[1]).max(axis=0)
    return int(((distance > _MOVED_CELLS) & _is_tumor(reference.logits, contract)).sum())
