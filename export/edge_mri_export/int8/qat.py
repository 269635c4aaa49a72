"""Quantisation-aware training: the quantised network learns to answer as the float one does.

Self-distillation on training images: no label is needed, and what is learned is the float network's
answer, right or wrong; where the network has a lesion map, that too. The graph that is trained is
the one that is written (`edge_mri_export.int8.simulation`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_mri.terminal.progress import Progress
from edge_mri_export.errors import QuantizationError
from edge_mri_export.graph.graph import LESION, LOGITS, NORMALISED
from edge_mri_export.graph.work import bytes_of
from edge_mri_export.guard.answers import memory_session
from edge_mri_export.int8.recipe import Target
from edge_mri_export.int8.simulation import QuantizedNetwork
from edge_mri_export.int8.values import float_tensors, normalised
from edge_mri_train.augmentation.pipeline import Augmentation, AugmentConfig
from edge_mri_train.augmentation.view import View

_LEAST_PROBABILITY = 1e-4
_COPIES = 4  # as it is, rounded, and what the gradients of both need
_MOST_BYTES = 4e9


@dataclass(frozen=True)
class QatConfig:
    """How a quantised network is fine-tuned.

    Attributes:
        images: How many training images, at most.
        epochs: Passes over them.
        batch_size: Images a step; fewer of large networks.
        learning_rate: Peak of the schedule; Adam.
        temperature: Of the distillation (Hinton et al. 2015).
        seed: Of order and augmentation.
    """

    images: int = 2400
    epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 3e-5
    temperature: float = 2.0
    seed: int = 0


def fine_tune(
    model: onnx.ModelProto,
    body: onnx.ModelProto,
    target: Target,
    pixels: NDArray[np.uint8],
    progress: Progress,
    config: QatConfig | None = None,
    teacher: onnx.ModelProto | None = None,
) -> onnx.ModelProto:
    """Return a quantised graph whose weights were fine-tuned to give the float body's answers.

    Args:
        model: The quantised graph, from `pixels`.
        body: The float body that it was quantised from, whose weights are trained.
        target: The integers in use.
        pixels: `(N, 1, S, S)` uint8 training images.
        progress: Told of the steps.
        config: How.
        teacher: The float body whose answers are learned; None: `body`, which teaches wrong where
            its biases were corrected for INT8.

    Raises:
        GraphError: The network has an operation that cannot be trained.
        QuantizationError: Training diverged.
    """
    config = config or QatConfig()
    network = QuantizedNetwork(model, body, target)
    session = memory_session(teacher or body)
    names = [output.name for output in body.graph.output if output.name in (LOGITS, LESION)]
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        LOGITS: lambda given, wanted: _distillation(given, wanted, config.temperature),
        LESION: _map_difference,
    }
    generator = np.random.default_rng(config.seed)
    augmentation = Augmentation(AugmentConfig())
    images = pixels[: config.images]
    batch_size = min(config.batch_size, _images_of_a_step(body))
    steps = max(len(images) // batch_size, 1)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / (steps * config.epochs))
    )
    with progress.bar("fine-tuning", steps * config.epochs) as advance:
        for _ in range(config.epochs):
            order = generator.permutation(len(images))
            for start in range(0, steps * batch_size, batch_size):
                chosen = images[order[start : start + batch_size]]
                batch = _augmented(chosen, augmentation, generator)
                wanted = session.run(names, {NORMALISED: normalised(batch)})
                values = network.values(torch.from_numpy(batch))
                loss = torch.zeros(())
                for name, one in zip(names, wanted, strict=True):
                    loss = loss + losses[name](values[name], torch.from_numpy(one))
                if not torch.isfinite(loss):
                    raise QuantizationError("fine-tuning diverged: its loss is no number")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                advance()
    return network.to_model()


def _images_of_a_step(body: onnx.ModelProto) -> int:
    """Return how many images a step can take: of each, all values are kept, in several copies."""
    kept = _COPIES * bytes_of(body, float_tensors(body))
    return int(max(_MOST_BYTES / max(kept, 1), 2))


def _augmented(
    images: NDArray[np.uint8], augmentation: Augmentation, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return `(N, 1, S, S)` uint8 images, moved and re-contrasted as in training."""
    views = [View(image[0].astype(np.float32) / np.float32(255), None) for image in images]
    changed = [augmentation(view, generator).image for view in views]
    return np.round(np.stack(changed)[:, np.newaxis] * 255).astype(np.uint8)


def _map_difference(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean square of what the maps' log odds lack, those of 1e-4 and below alike."""
    ours, theirs = (torch.logit(one, _LEAST_PROBABILITY) for one in (given, wanted))
    return nn.functional.mse_loss(ours, theirs)


def _distillation(given: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return the divergence of the answers, and the mean square of what the logits lack."""
    student = (given / temperature).log_softmax(dim=1)
    teacher = (wanted / temperature).log_softmax(dim=1)
    divergence = nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    centred = (given - given.mean(dim=1, keepdim=True)) - (
        wanted - wanted.mean(dim=1, keepdim=True)
    )
    return temperature**2 * divergence + 0.1 * centred.square().mean()
