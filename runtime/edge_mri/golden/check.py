"""Proof that an installation answers as it should: golden images, asked again and compared.

The images and what was said to them are `edge_mri.golden.values`.
"""

import math
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_mri.answers.audit import versions
from edge_mri.classifier import Classifier
from edge_mri.errors import EdgeMriError
from edge_mri.golden.values import Golden, GoldenImage, answers_by_name
from edge_mri.process.workers import available_threads

# CPUs round the sums of an INT8 graph differently: between VNNI and AVX2 logits moved by up to
# 0.05, a probability then by a quarter of that at most; decoders differ by a grey level.
TOLERANCE = 0.03

_WHOLLY = 1.0  # how far an answer is off that is none
_SPEED_ROUNDS = 20
_FEATURES = (
    *("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve", "bf16"),
)


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        passed: Whether the model file is the one of the golden values, there are golden images, and
            every probability is there and within `tolerance`.
        reason: Why not; "" where it passed.
        largest_difference: Of any probability from its golden value; 1 where one of them is no
            number, or there is no answer.
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


def check(classifier: Classifier, golden: Golden) -> Checked:
    """Ask the golden images again and compare; an answer that fails counts as wholly different."""
    differences = [_difference(classifier, image) for image in golden.images]
    worst = max(range(len(differences)), key=differences.__getitem__, default=0)
    largest = differences[worst] if differences else _WHOLLY
    reason = ""
    if golden.model_sha256 != classifier.model_sha256:
        reason = "the model file is not the one that the golden values were made with"
    elif not golden.images:
        reason = "there are no golden images"
    elif not largest <= TOLERANCE:
        reason = f"the answer to {golden.images[worst].name} is off by {largest:.3f}"
    return Checked(
        passed=not reason,
        reason=reason,
        largest_difference=round(largest, 6),
        tolerance=TOLERANCE,
        n=len(golden.images),
        file_ms=_file_ms(classifier, golden),
        provider=classifier.provider,
        threads=available_threads(),
        cpu=_cpu(),
        versions=versions(),
        model_sha256=classifier.model_sha256,
    )


def _difference(classifier: Classifier, image: GoldenImage) -> float:
    try:
        found = answers_by_name(classifier, image.data)
    except EdgeMriError:  # a decoder that is missing, say
        return _WHOLLY
    if not found or found.keys() != image.probabilities.keys():
        return _WHOLLY
    differences = [abs(found[name] - value) for name, value in image.probabilities.items()]
    return max(one if math.isfinite(one) else _WHOLLY for one in differences)


def _file_ms(classifier: Classifier, golden: Golden) -> float | None:
    taken = []
    if not golden.images:
        return None
    for _ in range(_SPEED_ROUNDS):
        started = time.perf_counter()
        try:
            classifier.predict(golden.images[0].data)
        except EdgeMriError:
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
