"""What the tests of export share: networks whose answers differ from image to image, exported."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edge_mri.images import ImageFiles
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_export import exporting
from edge_mri_export.exported import Exported
from edge_mri_export.exporting import ExportConfig, export
from edge_mri_export.graph.graph import body_graph
from edge_mri_export.int8.recipe import QuantizationConfig
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.networks.architectures import build, normalise
from edge_mri_train.networks.checkpoint import Checkpoint

MINMAX = QuantizationConfig("int8", method="minmax")
SIZES = {"artemis_cnn": 80, "mobilenet_v2": 64, "mobilenet_v3_small": 64}


@pytest.fixture(scope="session", autouse=True)
def body_of() -> Iterator[Callable[..., onnx.ModelProto]]:
    """`body_graph`, for exports too, with each network converted once; seconds of PyTorch each."""
    kept: dict[str, bytes] = {}

    def body(checkpoint: Checkpoint, outputs: Sequence[str] = ()) -> onnx.ModelProto:
        key = hashlib.sha256(repr((checkpoint.architecture, outputs)).encode())
        for name, values in checkpoint.network.state_dict().items():
            key.update(name.encode() + values.numpy().tobytes())
        if key.hexdigest() not in kept:
            kept[key.hexdigest()] = body_graph(checkpoint, outputs).SerializeToString()
        return onnx.ModelProto.FromString(kept[key.hexdigest()])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "body_graph", body)
        yield body


def lively_checkpoint(name: str, size: int, pixels: np.ndarray) -> Checkpoint:
    """A random network whose logits differ: an untrained one says the same of every image."""
    torch.manual_seed(0)
    space = LabelSpace()
    network = build(name, len(space.classes), size)
    images = normalise(torch.from_numpy(pixels))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
            if name == "artemis_cnn" and isinstance(module, nn.Conv2d | nn.Linear):
                module.weight *= 2  # sigmoids that say something
                module.bias *= 2
        for _ in range(3):
            network.train()(images)
        logits = network.eval()(images)
        head = [one for one in network.modules() if isinstance(one, nn.Linear)][-1]
        spread = logits.std(dim=0)
        head.weight *= 2 / spread.view(-1, 1)
        head.bias.sub_(logits.mean(dim=0)).mul_(2 / spread)
    return Checkpoint(name, space, PreprocessSpec(size), network, training={"data": ["phantoms"]})


@pytest.fixture(scope="session")
def lively():
    return lively_checkpoint


@dataclass(frozen=True)
class Road:
    """A checkpoint, what was exported from it, and the images it was compared on."""

    checkpoint: Checkpoint
    path: Path
    exported: list[Exported]
    pixels: np.ndarray

    @property
    def fp32(self) -> Path:
        return self.exported[0].path

    @property
    def int8(self) -> Path:
        return self.exported[1].path


@pytest.fixture(scope="session")
def pixels(phantoms: Path):
    """Make the network input of the phantoms at a size."""
    return lambda size: load_pixels(list(ImageFiles([phantoms])), PreprocessSpec(size))


@pytest.fixture(scope="session")
def road(phantoms, pixels, tmp_path_factory, body_of):
    """Make the FP32 and INT8 files of an architecture, once; its answers are not learned."""
    made: dict[str, Road] = {}

    def of(name: str) -> Road:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            images = pixels(SIZES[name])
            checkpoint = lively_checkpoint(name, SIZES[name], images)
            checkpoint.save(folder / "checkpoint.pt")
            config = ExportConfig(
                folder / "checkpoint.pt",
                folder / "model.onnx",
                MINMAX,
                calibration=phantoms,
                max_drop=100,
            )
            exported = export(config, NoProgress())
            made[name] = Road(checkpoint, folder / "checkpoint.pt", exported, images)
        return made[name]

    return of


@pytest.fixture(params=SIZES)
def each(request, road) -> Road:
    """Each architecture in turn."""
    return road(request.param)


@pytest.fixture
def small(road) -> Road:
    """The cheapest of them."""
    return road("artemis_cnn")


@pytest.fixture(scope="session")
def nodes():
    """Read a file's nodes, and who makes and who takes each value."""

    def read(path: Path):
        graph = onnx.load(path).graph
        makers = {output: node for node in graph.node for output in node.output}
        takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                takers.setdefault(name, []).append(node)
        return graph, makers, takers

    return read
