"""How good the answers of a backend are, through its own decoding and preprocessing.

The most probable type counts for every backend: a model's operating and rejection thresholds are
another matter, which `edge-mri evaluate` measures.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_mri.labels import LabelSpace
from edge_mri_bench.backends.backends import Answer, Backend
from edge_mri_train.data.folders import Sample
from edge_mri_train.evaluation.intervals import wilson

_BATCH = 8


def answers(backend: Backend, files: Sequence[Path], on_image: Callable[[], None]) -> list[Answer]:
    """Return a backend's answer to each file."""
    found: list[Answer] = []
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        inputs = [backend.prepare(backend.decode(one.read_bytes())) for one in some]
        found += backend.name(backend.infer(backend.stack(inputs)))
        for _ in some:
            on_image()
    return found


def score(
    records: Sequence[Answer], samples: Sequence[Sample], labels: LabelSpace
) -> dict[str, Any]:
    """Return the share of right answers with Wilson's 95 % interval, as JSON values.

    Args:
        records: N answers.
        samples: N labelled images.
        labels: What the model can answer.
    """
    types = [
        record.type in sample.label.types for record, sample in zip(records, samples, strict=True)
    ]
    planes = [
        record.plane == sample.label.plane
        for record, sample in zip(records, samples, strict=True)
        if sample.label.plane is not None and labels.planes
    ]
    return {"type": _share(types), "plane": _share(planes) if planes else None}


def agreement(records: Sequence[Answer], others: Sequence[Answer]) -> dict[str, Any]:
    """Return how often two backends give the same type, with Wilson's 95 % interval."""
    return _share([one.type == other.type for one, other in zip(records, others, strict=True)])


def _share(right: Sequence[bool]) -> dict[str, Any]:
    return {
        "n": len(right),
        "share": sum(right) / len(right),
        "ci95": wilson(sum(right), len(right)),
    }
