"""The guard: whether an ONNX file gives the reference's answers on the same labelled images.

Covers what is allowed. How it is measured is `edge_mri_export.guard.comparison`, on which images
`edge_mri_export.guard.calibration`, what is tried when a file fails `edge_mri_export.int8.search`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edge_mri_export.errors import ParityError

FP32_TOLERANCE = 1e-4
"""Largest difference of a logit, as a share of the largest logit where that is above 1."""

MAP_TOLERANCE = 1e-4
"""Largest difference of an FP32 file's lesion map, whose cells are 0 to 1."""

MAX_DROP = 0.5
"""What a quantised file may lose unless told otherwise, in percent."""

REFERENCE = "PyTorch FP32"

_LISTED = 5
_ADVICE = {
    "INT8": "Calibrate with more or other images (--calibration DIR), try --quantize fp16",
    "FP16": "Try --quantize int8, or none",
}


@dataclass(frozen=True)
class Flip:
    """An image of which another type or plane is said."""

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
        agreement: Share of images of which the same type and plane are said, 0 to 1.
        logit_scale: The largest absolute logit of the reference, at least 1.
        flipped: The images of which another type or plane is said.
        sensitivity_change: `type` and `plane`, each class's sensitivity less the reference's.
        support: `type` and `plane`, how many images of each class there are.
        ece: Expected calibration error of the type, of the reference and of the other.
        only_reference_right: Images whose type only the reference gets right.
        only_other_right: Images whose type only the other gets right.
        mcnemar_p: Exact p-value that the two are equally often right (McNemar 1947).
        present: What any type but the absent one is called; None where no type is absent.
        threshold_crossed: Images whose P(any tumour) lies on the other side of the operating
            point; None where no type is absent.
        tumors: Images that the reference calls tumour.
        lesion_peaks_moved: Images called tumour by the reference whose lesion map's peak moved by
            more than one cell; None without a lesion map.
        lesion_peaks_lower: Of those, images where it is no tie: the reference's own map is lower by
            more than 0.01 where the other has its peak.
        max_lesion_difference: The largest absolute difference of the lesion map, infinite where
            one of the two has none; None where neither has one.
        reference: What the reference is.
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
    present: str | None = "tumour"
    threshold_crossed: int | None = 0
    tumors: int = 0
    lesion_peaks_moved: int | None = None
    lesion_peaks_lower: int | None = None
    max_lesion_difference: float | None = None
    reference: str = REFERENCE

    @property
    def whose(self) -> str:
        """Whose answers the reference's are, for people."""
        return "PyTorch" if self.reference == REFERENCE else "the original"

    @property
    def worst_sensitivity_change(self) -> float:
        """The largest loss of a class's sensitivity, 0 or below; -0.01 is one point."""
        changes = [one for axis in self.sensitivity_change.values() for one in axis.values()]
        return min([0.0, *changes])

    def to_dict(self) -> dict[str, Any]:
        """Return what a contract says of it, as JSON values; names no file."""
        values = asdict(self)
        del values["logit_scale"], values["present"]
        values["flipped"] = len(self.flipped)
        values["ece"] = None if self.ece is None else list(self.ece)
        return {"reference": values.pop("reference"), **values}

    def to_report(self) -> dict[str, Any]:
        """Return `to_dict` with the flipped images by path; None for what is no finite number."""
        values = {**self.to_dict(), "flipped": [asdict(flip) for flip in self.flipped]}
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in values.items()
        }

    def tumor_changes(self) -> dict[str, float]:
        """Return what changes in whether and where there is a tumour, in words, and its share.

        Of all images where they cross the operating point; of the tumours where the peak moves and
        that is no tie: between two cells of one height there is nothing to lose.
        """
        crossed, lower = self.threshold_crossed, self.lesion_peaks_lower
        if crossed is None:
            return {}
        point = f"P({self.present}) crosses its operating point on {crossed} images"
        changes = {point: crossed / self.n}
        if lower is not None:
            text = (
                f"the lesion map's peak moves to a lower place on {lower} of {self.tumors} "
                f"images called {self.present}"
            )
            changes[text] = lower / max(self.tumors, 1)
        return changes

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
        losses |= self.tumor_changes()
        if not np.isfinite(self.max_logit_difference):
            losses["some logits are no numbers"] = 1.0
        if not np.isfinite(self.max_lesion_difference or 0.0):
            losses["the lesion map is missing or holds values that are no numbers"] = 1.0
        allowed = max_drop / 100 + 1e-9
        return [
            text
            for text, loss in sorted(losses.items(), key=lambda item: -item[1])
            if not loss <= allowed
        ]

    def require_same_outputs(self) -> None:
        """Raise `ParityError` unless logits and lesion map are the original's, up to rounding."""
        allowed = FP32_TOLERANCE * self.logit_scale
        wrong = []
        if not self.max_logit_difference <= allowed:
            wrong.append(
                f"logits by up to {self.max_logit_difference:.2g} on {self.n} images, "
                f"allowed {allowed:.2g}"
            )
        moved = self.max_lesion_difference
        if moved is not None and not moved <= MAP_TOLERANCE:
            wrong.append(
                f"the lesion map by up to {moved:.2g} on {self.n} images, allowed {MAP_TOLERANCE:g}"
            )
        if wrong:
            raise ParityError(
                f"the FP32 ONNX file differs from {self.whose}: {'; '.join(wrong)}",
                "; no file was written",
            )

    def require_no_loss(
        self, max_drop: float, kind: str = "INT8", tried: int = 1, advice: str = ""
    ) -> None:
        """Raise `ParityError` when agreement or a class falls by more than `max_drop` percent.

        Args:
            max_drop: What may be lost.
            kind: `INT8` or `FP16`.
            tried: The best of how many this is.
            advice: What to do instead; "" for what there is to do in general.
        """
        losses = self.losses(max_drop)
        if losses:
            more = f", and {len(losses) - _LISTED} more" if len(losses) > _LISTED else ""
            best = f", the best of {tried} tried," if tried > 1 else ""
            raise ParityError(
                f"{kind}{best} does not give {self.whose}'s answers: "
                f"{'; '.join(losses[:_LISTED])}{more}; "
                f"allowed {max_drop:g} %",
                f". No {kind} file was written. {advice or _ADVICE[kind]}, or allow more with "
                "--max-drop",
            )
