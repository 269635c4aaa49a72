"""The last layers of a network with a lesion map, fitted anew on its finished features.

The trunk and the map stay as they are. Logistic regressions with a ridge, on all training images
as they are, replace what stochastic steps on changed images left unfinished (Kirichenko et al.
2023, arXiv 2204.02937: the last layer is what a set's shortcuts spoil, and is cheap to fit again).
The evidence for a tumour then weighs the map's peak and the features where the map is high, never
the whole image.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from edge_mri.labels import LabelSpace
from edge_mri_train.learning.slices import Slices
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.lesion_network import LesionNetwork

_STRENGTH = 0.03  # inverse of the ridge, for features of unit variance
_ITERATIONS = 500
_BATCH = 128


@torch.inference_mode()
def refit_last_layers(
    network: LesionNetwork, slices: Slices, device: torch.device, space: LabelSpace | None = None
) -> None:
    """Fit the evidence for a tumour and the head of types, in place.

    Each on the images whose labels say it; the head of types stays where there is but one.

    Args:
        network: On `device`; left in eval mode.
        slices: Training images with every type among them.
        device: Where the network lives.
        space: Of the labels, with an absent type; None: the default one.
    """
    space = space or LabelSpace()
    network.eval()
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

    near = embedding[:, : network.appearance.in_features]
    tumor = np.array([bool(one) for one in told])[known].astype(np.int64)
    weights, bias = _fitted(np.column_stack([near, peak])[known], tumor)
    _assign(network.appearance, weights[:, :-1], np.zeros(1))
    network.evidence.copy_(torch.tensor([weights[0, -1], bias[0]]))
    if len(names) > 1 and len({*types.tolist()} - {-1}) == len(names):
        weights, bias = _fitted(embedding[types >= 0], types[types >= 0])
        if len(names) == 2:  # one row of log odds stands for two logits
            sides = np.array([-0.5, 0.5])
            weights, bias = sides[:, np.newaxis] * weights, sides * bias
        _assign(network.types, weights, bias)


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
