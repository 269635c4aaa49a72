"""How a classifier made elsewhere ends, and what its logits are.

Softmax inside is cut off: the runtime has one of its own. One output for two classes is the log
odds of the second, behind a sigmoid or not. Where probabilities come out of anything else, their
logarithms are logits.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_mri.answers.prediction import softmax
from edge_mri.labels import LabelSpace
from edge_mri_export.adoption.foreign import Foreign
from edge_mri_export.errors import AdoptionError
from edge_mri_export.graph.graph import LOGITS

LOGIT, SOFTMAX, SIGMOID, PROBABILITIES = "logits", "softmax", "sigmoid", "probabilities"

_SAME = ("Identity", "Cast", "Dropout")
_CUT = {"Softmax": SOFTMAX, "Sigmoid": SIGMOID}
_TOLERANCE = 1e-4
_LEAST = 1e-30


@dataclass(frozen=True)
class Ending:
    """How a graph ends.

    Attributes:
        kind: `logits`, `softmax`, `sigmoid` or `probabilities`.
        value: Name of the graph's value that the logits are read off.
        classes: How many values it has an image; 1 for two classes.
        flat: Whether it is `(N, classes)` already.
    """

    kind: str
    value: str
    classes: int
    flat: bool

    @classmethod
    def of(
        cls, foreign: Foreign, space: LabelSpace, pixels: NDArray[np.uint8]
    ) -> tuple["Ending", NDArray[np.float32]]:
        """Look at a graph and at its answers.

        Args:
            foreign: The model.
            space: Its classes.
            pixels: `(N, 1, S, S)` uint8 images.

        Returns:
            How it ends, and its `(N, K)` logits.

        Raises:
            AdoptionError: It is no classifier of these classes.
        """
        kind, value = _last(foreign)
        inside = [] if value == foreign.gives else [value]
        output, *given = foreign.answers(pixels, inside)
        values = given[0] if given else output
        classes = _classes(foreign.name, output, space)
        raw, said = (one.reshape(len(pixels), -1) for one in (values, output))
        if not np.isfinite(said).all():
            raise AdoptionError(foreign.name, "it gives what are no numbers")
        if kind == SIGMOID and classes > 1:
            raise AdoptionError(
                foreign.name,
                "it judges each class by itself (a sigmoid for each); expected one distribution "
                "over all",
            )
        if kind == LOGIT and classes > 1 and _are_probabilities(said):
            kind = PROBABILITIES
        if kind == PROBABILITIES:
            raw = np.log(np.maximum(raw, np.float32(_LEAST)))
        logits = np.pad(raw, ((0, 0), (1, 0))) if classes == 1 else raw
        if kind in (SOFTMAX, SIGMOID):
            found = softmax(logits)[:, -classes:]
            if np.abs(found - said).max() > _TOLERANCE:
                raise AdoptionError(foreign.name, f"its {kind} is not over its classes")
        return cls(kind, value, classes, values.ndim == 2), logits

    def add_logits(self, model: onnx.ModelProto) -> None:
        """Let a graph end in `logits (N, K)` alone, in place."""
        graph = model.graph
        name = self.value

        def add(operator: str, inputs: list[str], output: str) -> str:
            graph.node.append(helper.make_node(operator, inputs, [output], name=output))
            return output

        if not self.flat:
            name = add("Flatten", [name], "classes_flat")
        if self.kind == PROBABILITIES:
            least = numpy_helper.from_array(np.array(_LEAST, np.float32), "least_probability")
            graph.initializer.append(least)
            name = add("Log", [add("Max", [name, least.name], "probabilities_above_0")], "log_p")
        if self.classes == 1:
            ends = numpy_helper.from_array(np.array([0, 1, 0, 0], np.int64), "first_class")
            graph.initializer.append(ends)
            name = add("Pad", [name, ends.name], "both_classes")
        add("Identity", [name], LOGITS)
        del graph.output[:]
        kind = onnx.TensorProto.FLOAT
        count = max(self.classes, 2)
        graph.output.append(helper.make_tensor_value_info(LOGITS, kind, ["N", count]))


def _last(foreign: Foreign) -> tuple[str, str]:
    """Return how the graph ends, and the value that stands for its logits."""
    makers = {output: node for node in foreign.model.graph.node for output in node.output}
    name = foreign.gives
    while (node := makers.get(name)) is not None and node.op_type in _SAME:
        name = node.input[0]
    if node is not None and node.op_type in _CUT:
        return _CUT[node.op_type], node.input[0]
    return LOGIT, foreign.gives


def _classes(name: str, output: NDArray[np.float32], space: LabelSpace) -> int:
    classes = int(np.prod(output.shape[1:]))
    if output.ndim < 2 or max(output.shape[1:]) != classes:
        raise AdoptionError(
            name, f"it gives {('N', *output.shape[1:])} for N images; expected (N, classes)"
        )
    named = len(space.types)
    if max(classes, 2) != named:
        one = " (one output stands for two)" if classes == 1 else ""
        raise AdoptionError(
            name, f"it tells {max(classes, 2)} classes apart{one}, and --labels names {named}"
        )
    return classes


def _are_probabilities(values: NDArray[np.float32]) -> bool:
    inside = values.min() >= 0 and values.max() <= 1 + _TOLERANCE
    return bool(inside and np.abs(values.sum(axis=1) - 1).max() < 10 * _TOLERANCE)
