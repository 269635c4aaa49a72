"""What a run takes over from its starting weights and teachers: what they saw, and their licence.

A model knows an image that its teacher was trained on as it knows one of its own: an evaluation
must not call it new. Of a plain state dict, such as ImageNet's, neither is known.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.errors import ModelError
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
    """

    seen: tuple[SeenImages, ...]
    licence: str

    @classmethod
    def of(cls, config: TrainConfig) -> "Inheritance":
        """Look at a configuration's starting weights and teachers.

        Starting weights that cannot be read are left to `initial_weights`, which says so.

        Raises:
            ModelError: A teacher is not there, or no checkpoint.
        """
        seen: list[SeenImages] = []
        licences: list[str] = []
        if config.init_weights == SHIPPED:
            seen.append(SeenImages.from_bytes(SHIPPED_MODEL.with_suffix(SEEN_SUFFIX).read_bytes()))
            licences.append(SHIPPED_LICENCE)
        for checkpoint in _checkpoints(config):
            if checkpoint.seen is not None:
                seen.append(SeenImages.from_bytes(checkpoint.seen))
            licences.append(checkpoint.training.get("licence", ""))
        return cls(tuple(seen), " AND ".join(sorted({one for one in licences if one})))


def _checkpoints(config: TrainConfig) -> Iterator[Checkpoint]:
    if config.init_weights not in STARTS:
        with suppress(ModelError):
            yield Checkpoint.load(Path(config.init_weights), config.named)
    for path in config.distill:
        yield Checkpoint.load(Path(path), config.named)
