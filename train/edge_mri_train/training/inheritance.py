"""What a run takes over from its starting weights and teachers: what they saw, and their licence.

A model knows an image that its teacher was trained on as it knows one of its own: an evaluation
must not call it new. Of a plain state dict, such as ImageNet's, neither is known.
"""

from dataclasses import dataclass
from pathlib import Path

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.errors import ModelError
from edge_mri.labels import LabelSpace
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.evaluation.predictor import SEEN_SUFFIX
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.networks.initial_weights import SHIPPED
from edge_mri_train.settings.config import STARTS, TrainConfig

SHIPPED_LICENCE = "CC-BY-NC-SA-4.0"
"""Of the weights in `edge_mri_train/weights`."""


@dataclass(frozen=True)
class Inheritance:
    """What comes with the models that a run starts from.

    Attributes:
        seen: What each of them remembers of its training images.
        licence: The licences of those that state one; "" where none does.
        labels: What the starting weights' network answers; None where that is not known.
    """

    seen: tuple[SeenImages, ...]
    licence: str
    labels: LabelSpace | None = None

    @classmethod
    def of(cls, config: TrainConfig) -> "Inheritance":
        """Look at a configuration's starting weights and teachers.

        Starting weights that cannot be read are left to `initial_weights`, which says so.

        Raises:
            ModelError: A teacher is not there, or no checkpoint.
        """
        seen: list[SeenImages] = []
        licences: list[str] = []
        labels: LabelSpace | None = None
        if config.init_weights == SHIPPED:
            seen.append(SeenImages.from_bytes(SHIPPED_MODEL.with_suffix(SEEN_SUFFIX).read_bytes()))
            licences.append(SHIPPED_LICENCE)
            labels = LabelSpace()
        start = _start(config)
        teachers = [Checkpoint.load(Path(path), config.named) for path in config.distill]
        for checkpoint in (*([start] if start else ()), *teachers):
            if checkpoint.seen is not None:
                seen.append(SeenImages.from_bytes(checkpoint.seen))
            licences.append(checkpoint.training.get("licence", ""))
        licence = " AND ".join(sorted({one for one in licences if one}))
        return cls(tuple(seen), licence, start.labels if start else labels)


def _start(config: TrainConfig) -> Checkpoint | None:
    if config.init_weights in STARTS:
        return None
    try:
        return Checkpoint.load(Path(config.init_weights), config.named)
    except ModelError:
        return None
