"""Whether an ONNX file gives PyTorch's answers on real images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri_export.errors import ParityError

FP32_TOLERANCE = 1e-4
"""Largest difference of a logit, as a share of the largest logit where that is above 1."""


@dataclass(frozen=True)
class Parity:
    """How far one model's logits are from another's on the same images.

    Attributes:
        n: Number of images.
        max_logit_difference: The largest absolute difference.
        mean_logit_difference: The mean absolute difference.
        agreement: Share of images with the same most probable class, 0 to 1.
        logit_scale: The largest absolute logit of the original, at least 1.
    """

    n: int
    max_logit_difference: float
    mean_logit_difference: float
    agreement: float
    logit_scale: float

    @classmethod
    def between(cls, original: NDArray[np.float32], other: NDArray[np.float32]) -> "Parity":
        """Compare `(N, K)` logits."""
        difference = np.abs(original - other)
        same = original.argmax(axis=1) == other.argmax(axis=1)
        return cls(
            n=len(original),
            max_logit_difference=float(difference.max()),
            mean_logit_difference=float(difference.mean()),
            agreement=float(same.mean()),
            logit_scale=max(float(np.abs(original).max()), 1.0),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a contract says of it, as JSON values."""
        return {
            "reference": "PyTorch FP32",
            "n": self.n,
            "max_logit_difference": self.max_logit_difference,
            "mean_logit_difference": self.mean_logit_difference,
            "agreement": self.agreement,
        }

    def require_same_logits(self) -> None:
        """Raise `ParityError` unless the logits are those of the original, up to rounding."""
        allowed = FP32_TOLERANCE * self.logit_scale
        if not self.max_logit_difference <= allowed:
            raise ParityError(
                f"the FP32 ONNX file differs from PyTorch: logits by up to "
                f"{self.max_logit_difference:.2g} on {self.n} images, allowed {allowed:.2g}; "
                "no file was written"
            )

    def require_agreement(self, max_drop: float) -> None:
        """Raise `ParityError` when more than `max_drop` percent of the answers changed."""
        changed = 100 * (1 - self.agreement)
        if not changed <= max_drop:
            raise ParityError(
                f"INT8 changes the answer on {changed:.2f} % of {self.n} images, allowed "
                f"{max_drop:g} %; no INT8 file was written. Calibrate with more or other images "
                "(--calibration DIR), or allow more with --max-drop"
            )
