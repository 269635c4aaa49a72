"""A check of maps (Adebayo et al. 2018, "Sanity checks for saliency maps"): shuffled weights.

With the weights of every layer in another order a map must no longer resemble the model's, nor find
tumours. One that survives it shows the image and not what was learned.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.stats import spearmanr

from edge_mri.classifier import Classifier
from edge_mri.model.contract import Contract
from edge_mri_export.graph.stored_contract import store_contract
from edge_mri_train.evaluation.intervals import ratio, wilson
from outlined import RADII_PX
from pointing import Finding, findings

_SMALLEST_WEIGHT = 16  # elements; what is smaller is no layer's weight


def shuffled(path: Path, seed: int, target: Path) -> None:
    """Write a model with the weights of every layer in another order; those that are 0 stay.

    In a packed layer (`edge_mri_export.graph.packing`) most are, and say which pixels go together.
    """
    rng = np.random.default_rng(seed)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim >= 2 and values.size >= _SMALLEST_WEIGHT:
            mixed = values.copy()
            mixed[values != 0] = rng.permutation(values[values != 0])
            tensor.CopyFrom(onnx.numpy_helper.from_array(mixed, tensor.name))
    stored = {one.key: one.value for one in model.metadata_props}
    contract = replace(Contract.from_metadata(stored), weights_sha256="", rejection=None)
    store_contract(model, contract)
    onnx.save(model, target)


def sanity(
    classifier: Classifier, found: Sequence[Finding], seeds: int, images: int
) -> dict[str, Any]:
    """Compare a model's maps with those of the same network with shuffled weights."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(found))[:images]
    correlations, hits, n = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            path = Path(folder) / f"{seed}.onnx"
            shuffled(classifier.path, seed, path)
            other = Classifier.load(path, device="cpu", reject=False)
            random = findings(other, [found[row].case for row in chosen])
            for row, one in zip(chosen, random, strict=True):
                correlations.append(rank_correlation(found[row].cells, one.cells))
                hits += one.distance <= RADII_PX[-1]
                n += 1
    return {
        "networks": seeds,
        "images": len(chosen),
        "mean_correlation": float(np.mean(correlations)),
        "mean_absolute_correlation": float(np.mean(np.abs(correlations))),
        "above_0.5": float(np.mean(np.array(correlations) > 0.5)),
        f"peak_{RADII_PX[-1]}px": ratio(hits, n),
        f"peak_{RADII_PX[-1]}px_ci95": wilson(hits, n),
    }


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Spearman's correlation of two maps; 0 where one of them is flat."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
