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

from edge_mri.labels import NO_TUMOR, TYPES
from edge_mri_train.learning.slices import Slices
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.lesion_network import LesionNetwork

_STRENGTH = 0.03  # inverse of the ridge, for features of unit variance
_ITERATIONS = 500
_BATCH = 128


@torch.inference_mode()
def refit_last_layers(network: LesionNetwork, slices: Slices, device: torch.device) -> None:
    """Fit the evidence for a tumour and the head of types, in place.

    Args:
        network: On `device`; left in eval mode.
        slices: Training images with every type among them.
        device: Where the network lives.
    """
    network.eval()
    peaks, embeddings = [], []
    for batch in torch.split(torch.from_numpy(slices.pixels), _BATCH):
        answer = network.answer(normalise(batch.to(device)))
        peaks.append(answer.peak.cpu())
        embeddings.append(answer.embedding.cpu())
    peak = torch.cat(peaks).numpy().astype(np.float64)
    embedding = torch.cat(embeddings).numpy().astype(np.float64)
    types = np.array([TYPES.index(label.type) for label in slices.labels])
    tumor = types != TYPES.index(NO_TUMOR)

    near = embedding[:, : network.appearance.in_features]
    weights, bias = _fitted(np.column_stack([near, peak]), tumor.astype(np.int64))
    _assign(network.appearance, weights[:, :-1], np.zeros(1))
    network.evidence.copy_(torch.tensor([weights[0, -1], bias[0]]))
    _assign(network.types, *_fitted(embedding[tumor], types[tumor]))


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
