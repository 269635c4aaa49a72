"""What a model file shows of itself, without images: is it as it was exported, does it open?

Its answers are for `edge_mri_export.verification`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge_mri.classifier import Classifier
from edge_mri.errors import AnswerError, ContentError, EdgeMriError, ModelFormatError
from edge_mri.images.preprocess import preprocess
from edge_mri.labels import LabelSpace
from edge_mri.model.content_hash import HASH_KEY
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.signature import OPTION, require_signature, signer_of
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri_export.gate.rejection import outputs_of
from edge_mri_export.graph.editing import only
from edge_mri_export.graph.graph import LESION, LOGITS
from edge_mri_export.graph.layers import count_quantized
from edge_mri_export.graph.weights import weights_sha256
from edge_mri_train.errors import first_line

OPSETS = range(17, 21)
"""What every onnxruntime from 1.20 on runs, INT8 too."""

PRECISIONS = ("fp32", "fp16", "int8")
"""What a file can be; how it is made is `edge_mri_export.int8.recipe.PRECISIONS`."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: `contract`, `content`, `signature`, `weights`, `graph`, `runtime`, `rejection`,
            `checkpoint` or `parity`.
        passed: None where it could not be checked.
        detail: What was found, for people.
        figures: What was measured and what the contract says of it, as JSON values.
        lines: More of it for people, line by line.
    """

    name: str
    passed: bool | None
    detail: str
    figures: dict[str, Any] | None = None
    lines: tuple[str, ...] = ()


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model file.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is no ONNX model.
    """
    data = OnnxFile.read(path).data
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's errors are not public
        raise ModelFormatError(path, "an ONNX model", first_line(error)) from error
    if not model.graph.node:
        raise ModelFormatError(path, "an ONNX model", "it has no nodes")
    return model


def contract_check(contract: Contract) -> Check:
    """Check what the runtime does not read: the records that other checks compare with."""
    wrong = list(_record_faults(contract))
    if wrong:
        return Check("contract", False, "; ".join(wrong))
    return Check(
        "contract",
        True,
        f"{contract.name} {contract.precision}, schema {contract.schema_version}, "
        f"written by edge-mri {contract.toolkit_version or 'unknown'}",
    )


def _record_faults(contract: Contract) -> Iterator[str]:
    if contract.precision not in PRECISIONS:
        yield f"its precision is {contract.precision!r}, expected one of {', '.join(PRECISIONS)}"
    if contract.parity:
        for name, (expected, fits) in _PARITY.items():
            if name not in contract.parity:
                yield f"its parity lacks {name}"
            elif not fits(value := contract.parity[name]):
                yield f"its parity says {name} is {value!r}, expected {expected}"
    for name, (expected, fits) in _QUANTIZATION.items():
        if name in contract.quantization and not fits(value := contract.quantization[name]):
            yield f"its quantization says {name} is {value!r}, expected {expected}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_within(value: Any, most: float) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and 0 <= value <= most


_Expected = tuple[str, Callable[[Any], bool]]

_PARITY: dict[str, _Expected] = {
    "agreement": ("0 to 1", lambda value: _is_within(value, 1)),
    "n": ("a whole number above 0", lambda value: _is_whole(value) and value > 0),
}
_QUANTIZATION: dict[str, _Expected] = {
    "max_drop": ("0 to 100", lambda value: _is_within(value, 100)),
    "opset": ("a whole number", _is_whole),
    "quantized_layers": (
        "two whole numbers",
        lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value)),
    ),
}


def content_check(file: OnnxFile, contract: Contract) -> Check:
    """Check all that is in the file against the hash that it states."""
    try:
        file.expecting(contract).check_content()
    except ContentError as error:
        return Check("content", False, str(error))
    if HASH_KEY not in file.metadata:
        detail = f"a file of schema {contract.schema_version} states no hash of all that is in it"
        return Check("content", None, detail)
    return Check("content", True, f"sha256 {file.content_sha256[:12]}… as at the export")


def signature_check(file: OnnxFile, key: Path | None) -> Check:
    """Check whose model it is.

    Raises:
        SignatureError: It is not signed with the private half of `key`, where one is given.
    """
    signer = signer_of(file.metadata)
    if key is not None:
        require_signature(file, key)
        return Check("signature", True, f"by {signer} ({key})")
    if signer is None:
        return Check("signature", None, "the file is not signed")
    return Check("signature", None, f"says {signer}; {OPTION} KEY.pub checks it")


def weights_check(model: onnx.ModelProto, contract: Contract) -> Check:
    """Check the weights against the hash that the contract states."""
    if not contract.weights_sha256:
        return Check("weights", None, "the file states no hash of its weights")
    found = weights_sha256(model)
    if found == contract.weights_sha256:
        return Check("weights", True, f"sha256 {found[:12]}… as at the export")
    return Check(
        "weights",
        False,
        f"edited after the export: sha256 {found[:12]}…, "
        f"the contract says {contract.weights_sha256[:12]}…",
    )


def graph_check(model: onnx.ModelProto, contract: Contract) -> Check:
    """Check the graph by ONNX's own rules, and against what the contract says of it."""
    wrong = list(_graph_faults(model, contract))
    if wrong:
        return Check("graph", False, "; ".join(wrong))
    detail = f"opset {_opset(model)}, {len(model.graph.node)} nodes, outputs " + ", ".join(
        output.name for output in model.graph.output
    )
    if contract.quantization:
        detail += "; {} of {} layers quantised".format(*_quantized_layers(model))
    return Check("graph", True, detail)


def _graph_faults(model: onnx.ModelProto, contract: Contract) -> Iterator[str]:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's errors share no base class
        yield f"not valid: {first_line(error)}"
    opset = _opset(model)
    if opset not in OPSETS:
        yield f"opset {opset}, expected {OPSETS.start} to {OPSETS.stop - 1}"
    stated = contract.quantization.get("opset", opset)
    if stated != opset:
        yield f"opset {opset}, the contract says {stated}"
    taken = {name for node in model.graph.node for name in node.input}
    unused = [one.name for one in model.graph.initializer if one.name not in taken]
    if unused:
        yield f"{len(unused)} initialisers that no node takes, such as {unused[0]}"
    layers = contract.quantization.get("quantized_layers")
    if layers is not None and list(_quantized_layers(model)) != list(layers):
        yield (
            "{} of {} layers quantised, ".format(*_quantized_layers(model))
            + "the contract says {} of {}".format(*layers)
        )
    gives = {output.name for output in model.graph.output}
    for name in () if contract.rejection is None else outputs_of(contract.rejection):
        if name not in gives:
            yield f"the contract rejects by {name}, which the graph does not give"


def _quantized_layers(model: onnx.ModelProto) -> tuple[int, int]:
    """Count as the export did: without the layers of outputs that were added to the network."""
    there = [output.name for output in model.graph.output]
    return count_quantized(only(model, [name for name in (LOGITS, LESION) if name in there]))


def _opset(model: onnx.ModelProto) -> int:
    return max((one.version for one in model.opset_import if one.domain == ""), default=0)


def runtime_check(path: Path) -> Check:
    """Check that the runtime opens the file."""
    try:
        classifier = Classifier.load(path, device="cpu")
    except EdgeMriError as error:
        return Check("runtime", False, str(error))
    spec = classifier.contract.preprocess
    drawn = LabelSpace()
    labels = [one for one in drawn.classes if one.plane == drawn.planes[0]]
    heads = [draw_phantom(one, size_px=256) for one in labels]
    try:
        answers = classifier.answers(
            np.stack([preprocess(one, spec) for one in heads]), lesion=True
        )
    except EdgeMriError as error:
        return Check("runtime", False, str(error))
    if faults := answers.faults():
        wrong = AnswerError.of(" and ".join(sorted(set(faults.values()))), len(faults), len(heads))
        return Check("runtime", False, str(wrong))
    return Check("runtime", True, f"opens on {classifier.device}, answers")
