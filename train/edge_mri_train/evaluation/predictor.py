"""Answers from a checkpoint or an ONNX file, through the same preprocessing and thresholds."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.decision import Answers, Decisions, decide
from edge_mri.classifier import Classifier
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.model.contract import Contract
from edge_mri.model.rejection import Rejection
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import SeenImagesError
from edge_mri_train.settings.runs import checkpoint_file

SEEN_SUFFIX = ".seen"
"""Beside an ONNX file lies what it remembers of its training images, under the same name."""

SEEN_KEY = "seen_sha256"
"""In the contract's `training`: the hash of that file; models older than the hash have none."""

_CHECKPOINT_SUFFIXES = (".pt", ".pth")


@dataclass(frozen=True)
class Predictor:
    """A model ready to answer.

    Attributes:
        name: What it is, for people.
        labels: The classes in the order of its columns.
        preprocess: What turns an image into its input.
        answers: What it gives for `(N, 1, S, S)` uint8.
        tumor_threshold: P(any tumour) from which it says tumour.
        rejection: When it does not answer; None: it always does.
        seen: What it remembers of its training images; None where that is not known.
    """

    name: str
    labels: LabelSpace
    preprocess: PreprocessSpec
    answers: Callable[[NDArray[np.uint8]], Answers]
    tumor_threshold: float
    rejection: Rejection | None
    seen: SeenImages | None

    def decide(
        self,
        answers: Answers,
        *,
        reject: bool = True,
        known_foreign: NDArray[np.bool_] | None = None,
    ) -> Decisions:
        """Decide as this model's users see it.

        Args:
            answers: To N images.
            reject: False: answer every image.
            known_foreign: `(N,)` images whose pixels show that they are none of anything; they
                count where the model has a rejection.
        """
        if not reject or self.rejection is None:
            return decide(answers, self.labels, self.tumor_threshold)
        return decide(answers, self.labels, self.tumor_threshold, self.rejection, known_foreign)


def open_predictor(path: Path | None, named: Collection[str] = ()) -> Predictor:
    """Open a checkpoint (.pt, .pth; needs torch), an ONNX file, or None: the packaged model.

    A run's folder stands for its best checkpoint.

    Args:
        path: The file.
        named: Functions that may run to make a checkpoint's network.

    Raises:
        EdgeMriError: It cannot be opened, or what lies beside it is another model's memory.
    """
    path = path and checkpoint_file(path)
    if path is not None and path.suffix in _CHECKPOINT_SUFFIXES:
        from edge_mri_train.networks.checkpoint import Checkpoint

        checkpoint = Checkpoint.load(path, named)
        return Predictor(
            f"{checkpoint.architecture} (PyTorch)",
            checkpoint.labels,
            checkpoint.preprocess,
            lambda pixels: Answers(checkpoint.probabilities(pixels)),
            checkpoint.tumor_threshold,
            None,
            SeenImages.from_bytes(checkpoint.seen) if checkpoint.seen else None,
        )
    classifier = Classifier.load(path, device="cpu")
    contract = classifier.contract
    return Predictor(
        f"{contract.name} {contract.precision} (ONNX)",
        contract.labels,
        contract.preprocess,
        classifier.answers,
        contract.tumor_threshold,
        contract.rejection,
        _seen_beside(classifier.path, contract),
    )


def _seen_beside(model: Path, contract: Contract) -> SeenImages | None:
    path = model.with_suffix(SEEN_SUFFIX)
    if not path.is_file():
        return None
    data = path.read_bytes()
    expected = contract.training.get(SEEN_KEY)
    if expected is not None and hashlib.sha256(data).hexdigest() != expected:
        raise SeenImagesError(
            f"{path} is not what was exported with {model.name}; bring that file, or remove this "
            "one to evaluate without knowing what the model has seen"
        )
    return SeenImages.from_bytes(data)
