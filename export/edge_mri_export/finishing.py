"""What every file gets: more outputs, a rejection gate, like constants once, its weights' hash."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.model.contract import Contract
from edge_mri.terminal.progress import Progress
from edge_mri_export.errors import GraphError
from edge_mri_export.gate.rejection import (
    LEAST_TRAINING_IMAGES,
    LEAST_VALIDATION_IMAGES,
    TRAINING_IMAGES,
    with_rejection,
)
from edge_mri_export.graph.editing import in_order
from edge_mri_export.graph.outputs import add_outputs
from edge_mri_export.graph.sharing import shared
from edge_mri_export.graph.weights import weights_sha256
from edge_mri_export.graph.work import images_within
from edge_mri_export.guard.calibration import ExportImages
from edge_mri_train.data.pixels import load_pixels


@dataclass(frozen=True)
class Finish:
    """What finishes a model.

    Attributes:
        outputs: What is wanted beside the logits, of `edge_mri_export.graph.outputs.NAMES`.
        training: `(M, 1, S, S)` uint8 for the rejection gate; None: no gate.
        validation: `(L, 1, S, S)` uint8, what the gate's limits are chosen on.
        say: Told where a network can have no gate.
    """

    outputs: tuple[str, ...]
    training: NDArray[np.uint8] | None
    validation: NDArray[np.uint8]
    say: Callable[[str], None]

    @classmethod
    def prepare(
        cls,
        outputs: tuple[str, ...],
        images: ExportImages,
        spec: PreprocessSpec,
        work: int,
        progress: Progress,
    ) -> "Finish":
        """Load what the gate needs, or say why there will be none.

        Args:
            outputs: What is wanted beside the logits.
            images: The export's images.
            spec: The network's preprocessing.
            work: Multiplications of the network for an image; large ones get fewer images.
            progress: Told of it.
        """
        known, validation = len(images.training), images.check.pixels
        if set(images.check.paths).intersection(str(file) for file in images.training):
            progress.say("no rejection gate: it needs validation images beside the training images")
            return cls(outputs, None, validation, progress.say)
        if known < LEAST_TRAINING_IMAGES or len(validation) < LEAST_VALIDATION_IMAGES:
            progress.say(
                f"no rejection gate: it needs {LEAST_TRAINING_IMAGES} training and "
                f"{LEAST_VALIDATION_IMAGES} validation images, there are {known} and "
                f"{len(validation)}"
            )
            return cls(outputs, None, validation, progress.say)
        files = images.training[: images_within(work, TRAINING_IMAGES)]
        with progress.bar("training images for the rejection gate", len(files)) as step:
            training = load_pixels(files, spec, on_image=step)
            return cls(outputs, training, validation, progress.say)

    def apply(self, model: onnx.ModelProto, contract: Contract) -> tuple[onnx.ModelProto, Contract]:
        """Return a model with all of its outputs, and a contract that knows gate and weights."""
        model = add_outputs(in_order(model), self.outputs, contract.labels, contract.name)
        if self.training is not None:
            try:
                model, contract = with_rejection(model, contract, self.training, self.validation)
            except GraphError as error:  # it has no feature map
                self.say(f"no rejection gate: {error.reason}")
        model = shared(model)
        return model, replace(contract, weights_sha256=weights_sha256(model))
