"""Proof that an installation answers as it should: golden images and what a model says to them.

The golden images are phantoms, as encoded files, so that decoder, preprocessing and network are
all in the proof. They lie beside the model with the answers of the machine that wrote them:
`model.golden.json` for `model.onnx`.
"""

import base64
import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from edge_mri.atomic import atomic_path
from edge_mri.audit import versions
from edge_mri.classifier import Classifier
from edge_mri.errors import EdgeMriError, ImageError, ModelFormatError, ModelNotFoundError
from edge_mri.labels import LabelSpace
from edge_mri.phantom import draw_phantom
from edge_mri.workers import available_threads

# CPUs round the sums of an INT8 graph differently: between VNNI and AVX2 logits moved by up to
# 0.05, a probability then by a quarter of that at most; decoders differ by a grey level.
TOLERANCE = 0.03

_SIZES_PX = {".jpg": 512, ".png": 96}
_SPEED_ROUNDS = 20
_FEATURES = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve", "bf16"),
)


@dataclass(frozen=True)
class GoldenImage:
    """An image and what the model said to it.

    Attributes:
        name: What it shows.
        data: The encoded file.
        probabilities: By type, then by plane, where the model knows planes.
    """

    name: str
    data: bytes
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Golden:
    """Golden images, of one model file."""

    model_sha256: str
    images: tuple[GoldenImage, ...]


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        passed: Whether the model file is the one of the golden values, and no probability is off by
            more than `tolerance`.
        reason: Why not; "" where it passed.
        largest_difference: Of any probability from its golden value.
        tolerance: What it may be.
        n: How many golden images.
        file_ms: Milliseconds from a file's bytes to its record, median, on one thread; None where
            the file could not be decoded.
        provider: The execution provider of onnxruntime.
        threads: How many cores the process may use.
        cpu: Name, architecture, and features that matter to INT8.
        versions: Of edge-mri and what it computes with.
        model_sha256: Of the model file.
    """

    passed: bool
    reason: str
    largest_difference: float
    tolerance: float
    n: int
    file_ms: float | None
    provider: str
    threads: int
    cpu: dict[str, Any]
    versions: dict[str, str]
    model_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def golden_path(model: Path) -> Path:
    """Return where the golden values of a model file lie."""
    return model.with_suffix(".golden.json")


def write_golden(classifier: Classifier) -> Path:
    """Draw the golden images and write them with the model's answers beside the model."""
    images = []
    for number, label in enumerate(LabelSpace().classes[::2]):
        suffix = list(_SIZES_PX)[number % 2]
        pixels = draw_phantom(label, size_px=_SIZES_PX[suffix], seed=1, index=number)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 40] if suffix == ".jpg" else []
        data = cv2.imencode(suffix, pixels, quality)[1].tobytes()
        images.append(GoldenImage(f"{label}{suffix}", data, _answers(classifier, data)))
    values = {
        "notice": "Drawings, not patients; probabilities by the model with this hash.",
        "model_sha256": classifier.model_sha256,
        "images": [
            {
                "name": image.name,
                "probabilities": image.probabilities,
                "data": base64.b64encode(image.data).decode(),
            }
            for image in images
        ],
    }
    path = golden_path(classifier.path)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return path


def read_golden(model: Path) -> Golden:
    """Read the golden values of a model file.

    Raises:
        ModelNotFoundError: There are none.
        ModelFormatError: The file holds something else.
    """
    path = golden_path(model)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        images = tuple(
            GoldenImage(image["name"], base64.b64decode(image["data"]), image["probabilities"])
            for image in values["images"]
        )
        return Golden(values["model_sha256"], images)
    except FileNotFoundError as error:
        raise ModelNotFoundError(path) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(path, "a file of golden values", repr(error)) from error


def check(classifier: Classifier, golden: Golden) -> Checked:
    """Ask the golden images again and compare; an answer that fails counts as wholly different."""
    differences = {image.name: _difference(classifier, image) for image in golden.images}
    worst = max(differences, key=differences.__getitem__)
    reason = ""
    if golden.model_sha256 != classifier.model_sha256:
        reason = "the model file is not the one that the golden values were made with"
    elif differences[worst] > TOLERANCE:
        reason = f"the answer to {worst} is off by {differences[worst]:.3f}"
    return Checked(
        passed=not reason,
        reason=reason,
        largest_difference=round(differences[worst], 6),
        tolerance=TOLERANCE,
        n=len(golden.images),
        file_ms=_file_ms(classifier, golden),
        provider=classifier.provider,
        threads=available_threads(),
        cpu=_cpu(),
        versions=versions(),
        model_sha256=classifier.model_sha256,
    )


def _answers(classifier: Classifier, data: bytes) -> dict[str, float]:
    record = classifier.predict(data)
    return (record.type_probabilities or {}) | (record.plane_probabilities or {})


def _difference(classifier: Classifier, image: GoldenImage) -> float:
    try:
        found = _answers(classifier, image.data)
    except EdgeMriError:  # a decoder that is missing, say
        return 1.0
    if found.keys() != image.probabilities.keys():
        return 1.0
    return max(abs(found[name] - value) for name, value in image.probabilities.items())


def _file_ms(classifier: Classifier, golden: Golden) -> float | None:
    taken = []
    for _ in range(_SPEED_ROUNDS):
        started = time.perf_counter()
        try:
            classifier.predict(golden.images[0].data)
        except ImageError:
            return None
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken) * 1000, 3)


def _cpu() -> dict[str, Any]:
    lines: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            lines.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    return {
        "name": lines.get("model name") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "features": [name for name in _FEATURES if name in flags],
    }
