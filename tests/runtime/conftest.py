"""The command line, in this process and as a process of its own, and the model that ships."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from edge_mri.classifier import Classifier
from edge_mri.cli import main
from edge_mri.contract import Contract
from edge_mri.labels import LabelSpace
from edge_mri.preprocess import PreprocessSpec


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `edge-mri` with some arguments in this process."""

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments], prog_name="edge-mri")
        code = end.value.code
        assert isinstance(code, int)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Environment variables under which a child process imports what this one does."""
    # Importing edge_mri sets OpenCV's variables; a child must come to set them itself.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV_")}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def process(environment: dict[str, str]) -> Callable[..., Ended]:
    """Run Python with some arguments as a process of its own."""

    def run(*arguments: object, **options: Any) -> Ended:
        given = [sys.executable, *(str(argument) for argument in arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
        ended = subprocess.run(given, text=True, check=False, timeout=120, **(streams | options))
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The model that ships."""
    return Classifier.load(device="cpu")


@pytest.fixture(scope="session")
def model(classifier: Classifier) -> bytes:
    """The bytes of the model that ships."""
    return classifier.path.read_bytes()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """One readable image, 70 x 90 px PNG, alone in its folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8)
    path = tmp_path / "pictures" / "picture.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a model that says tumour where it sees something bright, and where that is.

    Its map is the mean brightness of 8 x 8 pixels, its P(tumour) rises with the brightest cell,
    its novelty is the mean brightness of the whole image.
    """
    onnx = pytest.importorskip("onnx", reason="writes models with onnx")

    def write(map_output: str | None = "lesion", **values: Any) -> Path:
        size = 64
        contract = Contract("bright", LabelSpace.for_task("type"), PreprocessSpec(size), **values)
        node, tensor = onnx.helper.make_node, onnx.helper.make_tensor
        info, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
        nodes = [
            node("Cast", ["pixels"], ["values"], to=kinds.FLOAT),
            node("Div", ["values", "white"], ["light"]),
            node("AveragePool", ["light"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
            node("GlobalMaxPool", ["cells"], ["brightest"]),
            node("Flatten", ["brightest"], ["evidence"]),
            node("Gemm", ["evidence", "gains", "bias"], ["logits"]),
            node("GlobalAveragePool", ["cells"], ["mean"]),
            node("Reshape", ["mean", "flat"], ["novelty"]),
        ]
        outputs = [
            info("logits", kinds.FLOAT, ["N", 4]),
            info("novelty", kinds.FLOAT, ["N"]),
        ]
        if map_output == "lesion":
            nodes.append(node("Identity", ["cells"], ["lesion"]))
            outputs.append(info("lesion", kinds.FLOAT, ["N", 1, size // 8, size // 8]))
        if map_output == "cam":
            nodes.append(node("Conv", ["cells", "types"], ["cam"]))
            outputs.append(info("cam", kinds.FLOAT, ["N", 4, size // 8, size // 8]))
        constants = [
            tensor("white", kinds.FLOAT, [], [255.0]),
            tensor("gains", kinds.FLOAT, [1, 4], [20.0, 10.0, 0.0, 0.0]),
            tensor("bias", kinds.FLOAT, [4], [0.0, 0.0, 0.0, 10.0]),
            tensor("types", kinds.FLOAT, [4, 1, 1, 1], [20.0, 10.0, 0.0, 0.0]),
            tensor("flat", kinds.INT64, [1], [-1]),
        ]
        pixels = info("pixels", kinds.UINT8, ["N", 1, size, size])
        graph = onnx.helper.make_graph(nodes, "bright", [pixels], outputs, constants)
        opset = onnx.helper.make_opsetid("", 18)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
        onnx.helper.set_model_props(model, contract.to_metadata())
        path = tmp_path_factory.mktemp("bright") / "bright.onnx"
        onnx.save(model, path)
        return path

    return write
