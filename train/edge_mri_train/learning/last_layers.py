"""The last layers of a network, fitted on its features as they are.

Trunk and lesion map stay. Logistic regressions with a ridge, on all training images as they are.
At the end of a run they replace what stochastic steps on changed images left unfinished
(Kirichenko et al. 2023, arXiv 2204.02937: the last layer is what a set's shortcuts spoil, and is
cheap to fit again). At its beginning they give a trunk that knew other classes its first answers:
a random head would tear at it (Kumar et al. 2022, arXiv 2202.10054). The evidence for a tumour
weighs the map's peak and the features where the map is high, never the whole image.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from edge_mri.labels import LabelSpace
from edge_mri_train.learning.loss import class_masks
from edge_mri_train.learning.slices import Slices
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.lesion_network import LesionNetwork

_STRENGTH = 0.03  # inverse of the ridge, for features of unit variance
_ITERATIONS = 500
_BATCH = 128


def last_layer(network: nn.Module, num_classes: int) -> nn.Linear | None:
    """Return the linear layer that a classifier ends in; None where it ends in something else."""
    layers = [one for one in network.modules() if isinstance(one, nn.Linear)]
    return layers[-1] if layers and layers[-1].out_features == num_classes else None


@torch.inference_mode()
def fit_last_layers(
    network: nn.Module,
    slices: Slices,
    device: torch.device,
    space: LabelSpace | None = None,
    *,
    planes: bool = False,
) -> None:
    """Fit what a network answers from its features, in place.

    With a lesion map: the evidence for a tumour and the head of types, else the last layer. Each on
    the images whose labels say it; a head stays as it is where one of its classes has no image, or
    where it has but one class.

    Args:
        network: On `device`, with a lesion map or a `last_layer`; left in eval mode.
        slices: Training images with every type among them.
        device: Where the network lives.
        space: Of the labels; None: the default one.
        planes: Whether the planes of a network with a lesion map are fitted too.
    """
    space = space or LabelSpace()
    network.eval()
    if isinstance(network, LesionNetwork):
        _fit_lesion_network(network, slices, device, space, planes)
        return
    masks = class_masks(slices.labels, space).numpy()
    classes = np.where(masks.sum(axis=1) == 1, masks.argmax(axis=1), -1)
    head = last_layer(network, len(space.classes))
    assert head is not None  # the run's settings were checked
    _fit(head, _inputs(network, head, slices, device), classes)


def _fit_lesion_network(
    network: LesionNetwork, slices: Slices, device: torch.device, space: LabelSpace, planes: bool
) -> None:
    peaks, embeddings = [], []
    for batch in torch.split(torch.from_numpy(slices.pixels), _BATCH):
        answer = network.answer(normalise(batch.to(device)))
        peaks.append(answer.peak.cpu())
        embeddings.append(answer.embedding.cpu())
    peak = torch.cat(peaks).numpy().astype(np.float64)
    embedding = torch.cat(embeddings).numpy().astype(np.float64)
    told = [space.is_present(label) for label in slices.labels]
    known = np.array([one is not None for one in told])
    names = space.present_types
    types = np.array([names.index(one.type) if one.type in names else -1 for one in slices.labels])

    width = network.appearance.in_features
    near, whole = embedding[:, :width], embedding[:, width:]
    tumor = np.array([bool(one) for one in told])[known].astype(np.int64)
    weights, bias = _fitted(np.column_stack([near, peak])[known], tumor)
    _assign(network.appearance, weights[:, :-1], np.zeros(1))
    network.evidence.copy_(torch.tensor([weights[0, -1], bias[0]]))
    _fit(network.types, embedding, types)
    if planes and network.planes is not None:
        sides = [space.planes.index(one.plane) if one.plane else -1 for one in slices.labels]
        _fit(network.planes, whole, np.array(sides))


def _inputs(
    network: nn.Module, head: nn.Linear, slices: Slices, device: torch.device
) -> NDArray[np.float64]:
    """Return `(N, D)`: what the last layer is given of each image."""
    taken: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].cpu()))
    try:
        for batch in torch.split(torch.from_numpy(slices.pixels), _BATCH):
            network(normalise(batch.to(device)))
    finally:
        hook.remove()
    return torch.cat(taken).numpy().astype(np.float64)


def _fit(head: nn.Linear, features: NDArray[np.float64], classes: NDArray[np.int64]) -> None:
    """Fit a head in place; a class of -1 is not known."""
    known = classes >= 0
    count = head.out_features
    if count < 2 or len(np.unique(classes[known])) < count:
        return
    weights, bias = _fitted(features[known], classes[known])
    if count == 2:  # one row of log odds stands for two logits
        sides = np.array([-0.5, 0.5])
        weights, bias = sides[:, np.newaxis] * weights, sides * bias
    _assign(head, weights, bias)


def _fitted(
    features: NDArray[np.float64], classes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `(C, D)` weights and `(C,)` biases for features as they come; C is 1 for two classes.

    Classes count the same, however many images they have.
    """
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that stops early is a good fit still
        model.fit(scaler.transform(features), classes)
    weights = model.coef_ / scaler.scale_
    return weights, model.intercept_ - weights @ scaler.mean_


def _assign(layer: nn.Linear, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(bias))
