"""What a record needs to be traced: of which bytes, by what, and when."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from edge_mri.images.preprocess import PreprocessSpec


@dataclass(frozen=True)
class Audit:
    """Where a record comes from.

    Attributes:
        input_sha256: Hash of the image file's bytes, hexadecimal; None where it could not be read.
        model_sha256: Hash of the model file.
        preprocess_sha256: Hash of the preprocessing's values as JSON, keys sorted, no spaces.
        provider: The execution provider of onnxruntime that ran it.
        versions: Of edge-mri and what it computes with.
        time: When it was answered, UTC, ISO 8601.
    """

    input_sha256: str | None
    model_sha256: str
    preprocess_sha256: str
    provider: str
    versions: dict[str, str]
    time: str

    @classmethod
    def begin(cls, model_sha256: str, spec: PreprocessSpec, provider: str) -> "Audit":
        """Return what all records of a run share; `of` completes it."""
        values = json.dumps(spec.to_dict(), sort_keys=True, separators=(",", ":"))
        preprocess_sha256 = hashlib.sha256(values.encode()).hexdigest()
        return cls(None, model_sha256, preprocess_sha256, provider, versions(), "")

    def of(self, data: bytes | None) -> "Audit":
        """Return it for one input, now."""
        digest = None if data is None else hashlib.sha256(data).hexdigest()
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        return replace(self, input_sha256=digest, time=time)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def versions() -> dict[str, str]:
    """Return the versions of edge-mri and of what it computes with."""
    import cv2
    import numpy as np
    import onnxruntime as ort

    from edge_mri import __version__

    return {
        "edge-mri": __version__,
        "numpy": np.__version__,
        "onnxruntime": ort.__version__,
        "opencv": cv2.__version__,
    }
