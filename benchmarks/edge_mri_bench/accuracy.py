"""How good the answers of a backend are, through its own decoding and preprocessing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_mri.images import read_file
from edge_mri.labels import LabelSpace
from edge_mri.prediction import Prediction, predictions, softmax
from edge_mri_bench.backends import Backend
from edge_mri_train.folders import Sample
from edge_mri_train.metrics import wilson

_BATCH = 8


def answers(
    backend: Backend, files: Sequence[Path], on_image: Callable[[], None]
) -> list[Prediction]:
    """Return a backend's record of each file."""
    found: list[Prediction] = []
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        batch = backend.stack([backend.prepare(backend.decode(read_file(one))) for one in some])
        probabilities = softmax(backend.infer(batch), backend.temperature)
        found += predictions([str(one) for one in some], probabilities, backend.labels)
        for _ in some:
            on_image()
    return found


def score(
    records: Sequence[Prediction], samples: Sequence[Sample], labels: LabelSpace
) -> dict[str, Any]:
    """Return the share of right answers with Wilson's 95 % interval, as JSON values.

    Args:
        records: N answers.
        samples: N labelled images.
        labels: What the model can answer.
    """
    types = [
        record.type == sample.label.type for record, sample in zip(records, samples, strict=True)
    ]
    planes = [
        record.plane == sample.label.plane
        for record, sample in zip(records, samples, strict=True)
        if sample.label.plane is not None and labels.planes
    ]
    return {"type": _share(types), "plane": _share(planes) if planes else None}


def agreement(records: Sequence[Prediction], others: Sequence[Prediction]) -> dict[str, Any]:
    """Return how often two backends give the same type, with Wilson's 95 % interval."""
    return _share([one.type == other.type for one, other in zip(records, others, strict=True)])


def _share(right: Sequence[bool]) -> dict[str, Any]:
    return {
        "n": len(right),
        "share": sum(right) / len(right),
        "ci95": wilson(sum(right), len(right)),
    }
