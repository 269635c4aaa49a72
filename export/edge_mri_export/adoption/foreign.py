"""An ONNX classifier made elsewhere, as it is: what it takes and gives, and its answers.

The answers are those of onnxruntime run on the file's own graph and its own float input: what an
adopted file is held against.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto

from edge_mri_export.adoption.input_spec import LAYOUTS, InputSpec
from edge_mri_export.errors import AdoptionError
from edge_mri_export.graph.work import images_at_once
from edge_mri_train.errors import first_line

_CHANNELS = (1, 3)
_CONTROL = ("If", "Loop", "Scan")
_INTEGER = ("DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")

Run = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


@dataclass(frozen=True)
class Foreign:
    """A model that was made elsewhere.

    Attributes:
        name: What it is called.
        model: Its graph; stays as it is.
        spec: What turns grey pixels into its input.
        channels: 1 or 3.
        layout: `nchw` or `nhwc`.
        size: Side S of its input.
        batch: Images that it takes at once; None: any number.
    """

    name: str
    model: onnx.ModelProto
    spec: InputSpec
    channels: int
    layout: str
    size: int
    batch: int | None

    @classmethod
    def read(cls, path: Path, spec: InputSpec) -> "Foreign":
        """Read a file, with weights that lie beside it.

        Raises:
            AdoptionError: It is no ONNX model, or no classifier of images.
        """
        try:
            model = onnx.load(path)
        except FileNotFoundError as error:
            raise AdoptionError(path.name, f"there is no file {error.filename}") from error
        except Exception as error:  # those of onnx and protobuf share no base class
            raise AdoptionError(path.name, f"it is no ONNX model: {first_line(error)}") from error
        if not model.graph.node:
            raise AdoptionError(path.name, "it is no ONNX model: it has no nodes")
        return cls.of(path.stem, model, spec)

    @classmethod
    def of(cls, name: str, model: onnx.ModelProto, spec: InputSpec) -> "Foreign":
        """Look at a model; raises `AdoptionError` where it is no classifier of images."""
        graph = model.graph
        stored = {one.name for one in graph.initializer}
        inputs = [one for one in graph.input if one.name not in stored]
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs)
            raise AdoptionError(name, f"it takes {len(inputs)} inputs ({names}); expected one")
        kind = inputs[0].type.tensor_type
        if kind.elem_type != TensorProto.FLOAT:
            found = TensorProto.DataType.Name(kind.elem_type).lower()
            raise AdoptionError(
                name, f"it takes {found}; expected float (float32): export it with a float input"
            )
        if len(graph.output) != 1:
            names = ", ".join(one.name for one in graph.output)
            raise AdoptionError(
                name, f"it gives {len(graph.output)} outputs ({names}); expected one, the classes"
            )
        operators = {node.op_type for node in graph.node}
        if found := sorted(operators.intersection(_CONTROL)):
            raise AdoptionError(name, f"its graph has branches or loops ({', '.join(found)})")
        if found := sorted(operators.intersection(_INTEGER)):
            raise AdoptionError(
                name,
                f"it is quantised already ({found[0]}); adopt the float model",
            )
        sides = [one.dim_value if one.HasField("dim_value") else 0 for one in kind.shape.dim]
        layout, channels = _layout(name, sides, spec)
        spec.require_channels(channels)
        size = _size(name, [*sides[2:]] if layout == "nchw" else [*sides[1:3]], spec)
        if sides[0] > 1:
            raise AdoptionError(
                name, f"it takes {sides[0]} images at once; export it for one, or for any number"
            )
        return cls(name, model, spec, channels, layout, size, sides[0] or None)

    @property
    def takes(self) -> str:
        """Name of its input."""
        stored = {one.name for one in self.model.graph.initializer}
        name: str = next(one.name for one in self.model.graph.input if one.name not in stored)
        return name

    @property
    def gives(self) -> str:
        """Name of its output."""
        name: str = self.model.graph.output[0].name
        return name

    def answers(self, pixels: NDArray[np.uint8], inside: list[str]) -> list[NDArray[np.float32]]:
        """Ask the original about `(N, 1, S, S)` uint8 pixels.

        Args:
            pixels: The images.
            inside: Names of float values of its graph.

        Returns:
            Its output, and those values, each `(N, …)` float32.

        Raises:
            AdoptionError: onnxruntime cannot run it.
        """
        run = self._onnxruntime(inside)
        count = self.batch or images_at_once(self.model, self.size)
        parts = []
        for start in range(0, len(pixels), count):
            batch = self.spec.values(pixels[start : start + count], self.channels, self.layout)
            try:
                parts.append(run(batch))
            except Exception as error:  # onnxruntime's errors share no base class
                raise AdoptionError(self.name, f"it cannot be run: {first_line(error)}") from error
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    def _onnxruntime(self, inside: list[str]) -> Run:
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.graph.output.extend(
            onnx.helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in inside
        )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise AdoptionError(self.name, f"it cannot be run: {first_line(error)}") from error
        takes, gives = self.takes, self.gives

        def run(batch: NDArray[np.float32]) -> list[Any]:
            found: list[Any] = session.run([gives, *inside], {takes: batch})
            return found

        return run


def _layout(name: str, sides: list[int], spec: InputSpec) -> tuple[str, int]:
    told = tuple(one or "?" for one in sides)
    if len(sides) != 4:
        raise AdoptionError(name, f"it takes {told}; expected a batch of images, four sides")
    places = dict(zip(LAYOUTS, (sides[1], sides[3]), strict=True))
    fitting = [one for one in LAYOUTS if places[one] in _CHANNELS]
    if spec.layout is not None:
        channels = places[spec.layout] or max(len(spec.mean), len(spec.std))
        if channels not in _CHANNELS:
            raise AdoptionError(name, f"it takes {told}: not {spec.layout} with 1 or 3 channels")
        return spec.layout, channels
    if len(fitting) != 1:
        raise AdoptionError(
            name,
            f"it takes {told}: neither clearly nchw nor nhwc with 1 or 3 channels; say which with "
            "layout=nchw or layout=nhwc in --preprocess",
        )
    return fitting[0], places[fitting[0]]


def _size(name: str, sides: list[int], spec: InputSpec) -> int:
    height, width = (one or spec.size or 0 for one in sides)
    if not height or not width:
        raise AdoptionError(
            name, "it takes images of any size; say which with size=N in --preprocess"
        )
    if height != width:
        raise AdoptionError(name, f"it takes {width} x {height} pixels; expected a square")
    if spec.size not in (None, height):
        raise AdoptionError(name, f"it takes {height} px, and --preprocess says size={spec.size}")
    return height
