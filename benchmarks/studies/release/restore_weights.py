r"""The weights of `edge_net` read back from its INT8 file, as a starting point for training.

    python benchmarks/studies/release/restore_weights.py \
        runtime/edge_mri/models/edge_mri_int8.onnx train/edge_mri_train/weights/edge_net.pt

Integers times their scales, in half precision: what lies between them was lost when they were
rounded, and their BatchNorms are folded in (each is the identity, as `--init-weights` knows how to
undo). It prints how far the restored network's logits are from the file's, on phantoms.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_mri import Classifier
from edge_mri.images.preprocess import preprocess_batch
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri_train.networks.architectures import build, normalise

_EPSILON = 1e-5  # of PyTorch's BatchNorm
_STEM = "trunk.stem.0.0"
_SECOND_OF_THE_PACKED = 1


def write(model: Path, out: Path) -> None:
    """Write the state dict of an INT8 file of `edge_net`, and say how near it answers."""
    classifier = Classifier.load(model)
    classes, spec = classifier.contract.labels.classes, classifier.contract.preprocess
    network = build("edge_net", len(classes), spec.size)
    network.load_state_dict(restored(onnx.load(model), network.state_dict()))
    images = [draw_phantom(label, size_px=256, seed=1, index=0) for label in classes]
    batch = preprocess_batch(images, spec)
    with torch.inference_mode():
        answers = network.eval()(normalise(torch.from_numpy(batch))).numpy()
    difference = np.abs(answers - classifier.logits(batch))
    mean, most = difference.mean(), difference.max()
    print(f"logits differ by {mean:.3f} on average, {most:.3f} at most")  # noqa: T201
    state = network.state_dict()
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, out)


def restored(model: onnx.ModelProto, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state dict of a network from its INT8 graph.

    Args:
        model: With the constants that `edge-mri export --quantize` names after parameters.
        like: Names and shapes.
    """
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}

    def value(name: str, packed: str = "") -> NDArray[np.float64]:
        name = f"network.{name}"
        integers = constants[f"{name}_quantized{packed}"].astype(np.float64)
        prefix = f"{name}_quantized" if name.endswith("bias") else name
        scale = constants[f"{prefix}_scale{packed}"].astype(np.float64)
        return integers * scale.reshape(-1, *[1] * (integers.ndim - 1))

    weight, bias = _unpacked(
        value(f"{_STEM}.weight", "_packed"), value(f"{_STEM}.weight_bias", "_packed")
    )
    state: dict[str, NDArray[np.float64]] = {f"{_STEM}.weight": weight, "trunk.stem.0.1.bias": bias}
    for name, tensor in like.items():
        norm = f"{name.removesuffix('0.weight')}1"
        if name in state or name.endswith("num_batches_tracked"):
            state.setdefault(name, np.zeros(()))
        elif name.endswith("running_mean"):
            state[name] = np.zeros(len(tensor))
        elif name.endswith("running_var"):
            state[name] = np.ones(len(tensor))
        elif f"{norm}.running_mean" in like:
            state[name], state[f"{norm}.bias"] = value(name), value(f"{name}_bias")
        elif f"network.{name}" in constants:
            state[name] = constants[f"network.{name}"]
        elif f"network.{name}_quantized" in constants:
            state[name] = value(name)
    for name, tensor in like.items():
        if name.removesuffix("weight") + "running_var" in like:
            state[name] = np.full(len(tensor), np.sqrt(1 + _EPSILON))
    state["evidence"] = np.array([constants["select"], constants["select_1"]])
    state["appearance.bias"] = np.zeros(1)  # the offset of the evidence holds it
    return {
        k: torch.tensor(np.asarray(state[k])).reshape(v.shape).to(v.dtype) for k, v in like.items()
    }


def _unpacked(
    weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first convolution as it was before `edge_mri_export.graph.packing`.

    Of the four groups of channels the second is taken: all it looks at lies in its own column of
    eight pixels, from the second pixel on.
    """
    channels = len(weight) // 4
    group = slice(channels * _SECOND_OF_THE_PACKED, channels * (_SECOND_OF_THE_PACKED + 1))
    first = 2 * _SECOND_OF_THE_PACKED - 1
    kernel = weight[group, first : first + 3, :, -1].transpose(0, 2, 1)
    return kernel[:, np.newaxis], bias[group]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    write(**vars(parser.parse_args()))
