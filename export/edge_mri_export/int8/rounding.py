"""Rounding the weights of a convolution together: what one loses, the next make up for.

Error feedback, as in GPTQ (Frantar et al. 2022, arXiv 2210.17323): the weights of an output are
rounded one after the other, and each one's error is spread over those still to come so that the
output changes least, for inputs that vary together as they do on calibration images. It costs
nothing at run time. Which networks it helps is in docs/decisions/0014.
"""

from collections.abc import Collection

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper
from torch import Tensor

from edge_mri_export.graph.editing import attributes_of, copied
from edge_mri_export.graph.layers import layers
from edge_mri_export.int8.recipe import Target
from edge_mri_export.int8.values import float_values

_IMAGES = 192
_POSITIONS = 48  # of each image, evenly spread
_MOST_INPUTS = 2304  # of one output; beyond it the matrices grow large and the errors average out
_DAMPING = 0.01  # and the number of weights over that of the places seen
_SMALLEST = 1e-12


class Rounding:
    """How the inputs of each convolution vary together, and weights rounded by it.

    Args:
        body: `normalised (N, 1, S, S) float` to `logits`.
        pixels: `(N, 1, S, S)` uint8 calibration images.
    """

    def __init__(self, body: onnx.ModelProto, pixels: NDArray[np.uint8]) -> None:
        self._body = body
        weights = {tensor.name: tensor.dims for tensor in body.graph.initializer}
        self._layers = [
            node
            for node in layers(body.graph)
            if node.op_type == "Conv"
            and node.input[1] in weights
            and np.prod(weights[node.input[1]][1:]) <= _MOST_INPUTS
        ]
        names = list(dict.fromkeys(node.input[0] for node in self._layers))
        self._products: dict[str, Tensor] = {}
        self._places: dict[str, int] = {}
        for _, values in float_values(body, names, pixels[:_IMAGES]):
            for node in self._layers:
                kernel = weights[node.input[1]][2:]
                rows = _inputs(node, torch.from_numpy(values[node.input[0]]), kernel)
                product = (rows.transpose(1, 2) @ rows).double()
                self._products[node.name] = self._products.get(node.name, 0) + product
                self._places[node.name] = self._places.get(node.name, 0) + rows.shape[1]

    def rounded(self, target: Target, exclude: Collection[str] = ()) -> onnx.ModelProto:
        """Return the body with weights that the target's integers stand for exactly.

        Each output channel's largest weight stays as it is, so that quantising finds the scale
        that was assumed here.

        Args:
            target: The integers.
            exclude: Names of nodes whose weights stay.
        """
        limit = 2 ** (target.weight_bits - 1) - (target.weight_bits == 8)
        model = copied(self._body)
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in self._layers:
            if node.name in exclude:
                continue
            tensor = stored[node.input[1]]
            values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            products = self._products[node.name]
            grouped = values.reshape(len(products), -1, products.shape[1])
            damping = _DAMPING + products.shape[1] / self._places[node.name]
            rounded = _with_feedback(grouped.double(), products, limit, damping).float()
            changed = rounded.reshape(values.shape).numpy()
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        return model


def _inputs(node: NodeProto, values: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """Return what a convolution's kernel sees at some places, `(groups, places, weights)`."""
    settings = attributes_of(node)
    top, left, bottom, right = settings.get("pads", [0, 0, 0, 0])
    rows = []
    for image in F.pad(values, (left, right, top, bottom)):  # all at once grow large
        seen = F.unfold(
            image.unsqueeze(0),
            tuple(kernel),
            dilation=tuple(settings.get("dilations", [1, 1])),
            stride=tuple(settings.get("strides", [1, 1])),
        )
        places = torch.linspace(0, seen.shape[2] - 1, min(_POSITIONS, seen.shape[2])).long()
        rows.append(seen[:, :, places])
    seen = torch.cat(rows).movedim(1, 2).flatten(0, 1)
    return seen.reshape(len(seen), settings.get("group", 1), -1).movedim(0, 1)


def _with_feedback(weights: Tensor, products: Tensor, limit: int, damping: float) -> Tensor:
    """Round weights one input after the other, the error of each carried to the rest.

    Args:
        weights: `(groups, outputs, inputs)` float64.
        products: `(groups, inputs, inputs)` sums of products of inputs.
        limit: The largest integer.
        damping: Share of the mean square of the inputs by which each varies for itself; the less
            was seen of them, the more, or what they have in common is learned by heart.
    """
    largest = weights.abs().amax(dim=2, keepdim=True)
    scale = (largest / limit).clamp_min(_SMALLEST)
    order = products.diagonal(dim1=1, dim2=2).mean(dim=0).argsort(descending=True)
    original = weights[:, :, order]
    keep = original.abs() == largest
    left = original.clone()
    ordered = products[:, order][:, :, order]
    own = damping * ordered.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(_SMALLEST)
    ordered = ordered + own[:, None, None] * torch.eye(len(order), dtype=torch.float64)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(ordered))
    spread = torch.linalg.cholesky(inverse, upper=True)
    rounded = torch.empty_like(left)
    for column in range(len(order)):
        now, step = left[:, :, column], scale[:, :, 0]
        whole = (now / step).round().clamp(-limit, limit) * step
        rounded[:, :, column] = torch.where(keep[:, :, column], original[:, :, column], whole)
        error = (now - rounded[:, :, column]) / spread[:, None, column, column]
        left[:, :, column + 1 :] -= error[:, :, None] * spread[:, None, column, column + 1 :]
    return rounded[:, :, order.argsort()]
