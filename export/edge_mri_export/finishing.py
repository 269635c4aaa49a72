"""What every file gets: more outputs, a rejection gate, like constants once, its weights' hash."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from edge_mri.images import read_image
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.model.contract import Contract
from edge_mri.terminal.progress import Progress
from edge_mri_export.errors import GraphError
from edge_mri_export.gate.drawn import SPOILED_IMAGES, made_up
from edge_mri_export.gate.images import GateImages, by_source, foreign_images, in_turn
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
        images: What the rejection gate is fitted to; None: no gate.
        say: Told where a network can have no gate.
    """

    outputs: tuple[str, ...]
    images: GateImages | None
    say: Callable[[str], None]

    @classmethod
    def prepare(
        cls,
        outputs: tuple[str, ...],
        foreign: tuple[Path, ...],
        images: ExportImages,
        spec: PreprocessSpec,
        work: int,
        progress: Progress,
    ) -> "Finish":
        """Load what the gate needs, or say why there will be none.

        Args:
            outputs: What is wanted beside the logits.
            foreign: Folders of images that are no brain MR; empty: none are shown.
            images: The export's images.
            spec: The network's preprocessing.
            work: Multiplications of the network for an image; large ones get fewer images.
            progress: Told of it.

        Raises:
            NoImagesError: A folder of `foreign` holds no image.
        """
        known, validation = len(images.training), images.check.pixels
        if set(images.check.paths).intersection(str(file) for file in images.training):
            progress.say("no rejection gate: it needs validation images beside the training images")
            return cls(outputs, None, progress.say)
        if known < LEAST_TRAINING_IMAGES or len(validation) < LEAST_VALIDATION_IMAGES:
            progress.say(
                f"no rejection gate: it needs {LEAST_TRAINING_IMAGES} training and "
                f"{LEAST_VALIDATION_IMAGES} validation images, there are {known} and "
                f"{len(validation)}"
            )
            return cls(outputs, None, progress.say)
        most = images_within(work, TRAINING_IMAGES)
        pairs = list(zip(images.training, images.training_sources, strict=True))
        chosen = in_turn(pairs, images.training_sources, most)
        files, sources = [file for file, _ in chosen], [source for _, source in chosen]
        with progress.bar("training images for the rejection gate", len(files)) as step:
            training = by_source(load_pixels(files, spec, on_image=step), sources)
        shown = foreign_images(foreign, spec, most, progress) if foreign else {}
        if shown:
            shown |= made_up([read_image(file) for file in files[:SPOILED_IMAGES]], spec)
        known_ones = GateImages(training, by_source(validation, images.check_sources), shown)
        return cls(outputs, known_ones, progress.say)

    def apply(self, model: onnx.ModelProto, contract: Contract) -> tuple[onnx.ModelProto, Contract]:
        """Return a model with all of its outputs, and a contract that knows gate and weights."""
        model = add_outputs(in_order(model), self.outputs, contract.labels, contract.name)
        if self.images is not None:
            try:
                model, contract = with_rejection(model, contract, self.images)
            except GraphError as error:  # it has no feature map
                self.say(f"no rejection gate: {error.reason}")
        model = shared(model)
        return model, replace(contract, weights_sha256=weights_sha256(model))
