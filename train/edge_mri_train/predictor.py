"""Class probabilities from a checkpoint or an ONNX file, through the same preprocessing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.labels import LabelSpace
from edge_mri.preprocess import PreprocessSpec
from edge_mri_train.duplicates.seen import SeenImages

SEEN_SUFFIX = ".seen"
"""Beside an ONNX file lies what it remembers of its training images, under the same name."""

_CHECKPOINT_SUFFIXES = (".pt", ".pth")


@dataclass(frozen=True)
class Predictor:
    """A model ready to answer.

    Attributes:
        name: What it is, for people.
        labels: The classes in the order of its columns.
        preprocess: What turns an image into its input.
        probabilities: Maps `(N, 1, S, S)` uint8 to `(N, K)` class probabilities.
        seen: What it remembers of its training images; None where that is not known.
    """

    name: str
    labels: LabelSpace
    preprocess: PreprocessSpec
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    seen: SeenImages | None


def open_predictor(path: Path | None) -> Predictor:
    """Open a checkpoint (.pt, .pth; needs torch), an ONNX file, or None: the model that ships."""
    if path is not None and path.suffix in _CHECKPOINT_SUFFIXES:
        from edge_mri_train.checkpoint import Checkpoint

        checkpoint = Checkpoint.load(path)
        return Predictor(
            f"{checkpoint.architecture} (PyTorch)",
            checkpoint.labels,
            checkpoint.preprocess,
            checkpoint.probabilities,
            SeenImages.from_bytes(checkpoint.seen) if checkpoint.seen else None,
        )
    classifier = Classifier.load(path, device="cpu")
    contract = classifier.contract
    beside = classifier.path.with_suffix(SEEN_SUFFIX)
    return Predictor(
        f"{contract.name} {contract.precision} (ONNX)",
        contract.labels,
        contract.preprocess,
        classifier.probabilities,
        SeenImages.from_bytes(beside.read_bytes()) if beside.is_file() else None,
    )
