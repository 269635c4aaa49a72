"""What a run measures after each epoch, on the images it does not train on."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edge_mri.answers.decision import TUMOR_THRESHOLD
from edge_mri.answers.prediction import softmax
from edge_mri.labels import LabelSpace
from edge_mri_train.evaluation.figures import figures
from edge_mri_train.learning.loss import class_masks, marginal_loss
from edge_mri_train.learning.slices import Slices
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.lesion_network import STRIDE, LesionNetwork
from edge_mri_train.training.operating_point import fit_threshold
from edge_mri_train.training.temperature import fit_temperature

_BATCH = 128


@torch.inference_mode()
def validate(
    network: nn.Module,
    slices: Slices,
    space: LabelSpace,
    device: torch.device,
    specificity: float | None = None,
) -> dict[str, Any]:
    """Return the figures of one epoch, as JSON values; `specificity` is `TrainConfig`'s.

    `score` is what a run keeps its best epoch by: the mean of the balanced accuracies of type and
    plane, and with a lesion map of the share of lesions that its peak finds.
    """
    network.eval()
    logits, peaks = _answers(network, slices, device)
    masks = class_masks(slices.labels, space)
    measured = figures(softmax(logits.numpy()), slices.labels, space)
    axes = {
        f"{axis}_{figure}": measured[axis][figure] if measured[axis] else None
        for axis in ("type", "plane", "joint")
        for figure in ("n", "accuracy", "balanced_accuracy")
    }
    found = _found(peaks, slices) if peaks is not None else None
    temperature = fit_temperature(logits, masks)
    scores = [axes["type_balanced_accuracy"], axes["plane_balanced_accuracy"], found]
    return {
        "val_loss": marginal_loss(logits, masks).item(),
        "score": float(np.mean([one for one in scores if one is not None])),
        **axes,
        "lesions_found": found,
        "temperature": temperature,
        "tumor_threshold": _threshold(
            softmax(logits.numpy(), temperature), slices, space, specificity
        ),
    }


def _threshold(
    probabilities: NDArray[np.float32],
    slices: Slices,
    space: LabelSpace,
    specificity: float | None,
) -> float:
    if space.absent is None:
        return TUMOR_THRESHOLD
    none = space.type_probabilities(probabilities)[:, space.types.index(space.absent)]
    told = [space.is_present(label) for label in slices.labels]
    known = np.array([one is not None for one in told])
    there = np.array([bool(one) for one in told])
    sources = np.array(slices.sets) if slices.sets else np.array([""] * len(slices))
    return fit_threshold(1 - none[known], there[known], sources[known].tolist(), specificity)


def _answers(
    network: nn.Module, slices: Slices, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return `(N, K)` logits, and `(N,)` positions of the map's highest cell where there is one."""
    logits, peaks = [], []
    for batch in torch.split(torch.from_numpy(slices.pixels), _BATCH):
        images = normalise(batch.to(device))
        if isinstance(network, LesionNetwork):
            answer = network.answer(images)
            logits.append(answer.log_probabilities().float().cpu())
            peaks.append(answer.lesion.flatten(1).argmax(dim=1).cpu())
        else:
            logits.append(network(images).float().cpu())
    return torch.cat(logits), torch.cat(peaks) if peaks else None


def _found(peaks: torch.Tensor, slices: Slices) -> float | None:
    """Return the share of outlined lesions whose outline the map's highest cell touches."""
    outlined = [
        (int(peak), mask)
        for peak, mask in zip(peaks, slices.masks, strict=True)
        if mask is not None and mask.any()
    ]
    if not outlined:
        return None
    hits = []
    for peak, mask in outlined:
        cells = functional.max_pool2d(torch.from_numpy(mask)[None].float(), STRIDE).flatten()
        hits.append(bool(cells[peak] > 0))
    return float(np.mean(hits))
