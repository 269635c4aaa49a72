"""Checking a model file again, at any time: what export made sure of, and whether it still holds.

The contract, the hash of the weights, the graph; with images the rejection gate; with the
checkpoint the guard of the export (`edge_mri_export.parity`). Nothing is written. How well a model
does is `edge_mri_train.evaluation`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.contract import SCHEMA_VERSION, Contract
from edge_mri.errors import (
    ContractError,
    EdgeMriError,
    ModelFormatError,
    ModelNotFoundError,
    OptionError,
)
from edge_mri.progress import Progress
from edge_mri_export.answers import checkpoint_answers, file_answers
from edge_mri_export.calibration import CheckImages, load_check_images
from edge_mri_export.editing import only
from edge_mri_export.errors import ParityError
from edge_mri_export.graph import LESION, LOGITS
from edge_mri_export.novelty import NOVELTY
from edge_mri_export.parity import compare
from edge_mri_export.quantization import count_quantized
from edge_mri_export.rejection import answered, measure
from edge_mri_export.weights import weights_sha256
from edge_mri_train.checkpoint import Checkpoint
from edge_mri_train.errors import first_line

OPSETS = range(17, 21)
"""What every onnxruntime from 1.20 on runs, INT8 too."""

_SAME_SHARE = 0.005
"""Shares measured twice on the same images may differ by this, from CPU to CPU."""


@dataclass(frozen=True)
class VerifyConfig:
    """What is checked, and with what.

    Attributes:
        model: The ONNX file.
        checkpoint: What it was exported from; None leaves the comparison with PyTorch out.
        data: Class folders to compare on; None for the validation images of the checkpoint's run.
        max_drop: What the guard allows, as at the export, in percent.
    """

    model: Path
    checkpoint: Path | None = None
    data: Path | None = None
    max_drop: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 100:
            raise OptionError(f"--max-drop is {self.max_drop}; expected 0 to 100 percent")


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: `contract`, `weights`, `graph`, `runtime`, `rejection`, `checkpoint` or `parity`.
        passed: None where it could not be checked.
        detail: What was found, for people.
        figures: What was measured and what the contract says of it, as JSON values.
    """

    name: str
    passed: bool | None
    detail: str
    figures: dict[str, Any] | None = None


@dataclass(frozen=True)
class Verification:
    """What was found of one file."""

    model: Path
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        checks = [asdict(check) for check in self.checks]
        return {"model": str(self.model), "passed": self.passed, "checks": checks}


def verify(config: VerifyConfig, progress: Progress) -> Verification:
    """Check a model file.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is no ONNX model.
        CheckpointError: The checkpoint cannot be used.
        DataError: The images cannot be used.
    """
    model = _read(config.model)
    try:
        contract = Contract.from_metadata({one.key: one.value for one in model.metadata_props})
    except ContractError as error:
        return Verification(config.model, (Check("contract", False, str(error)),))
    checks = [
        Check(
            "contract",
            True,
            f"{contract.name} {contract.precision}, schema {SCHEMA_VERSION}, "
            f"written by edge-mri {contract.toolkit_version or 'unknown'}",
        ),
        _weights(model, contract),
        _graph(model, contract),
        _runtime(config.model),
    ]
    if all(check.passed is not False for check in checks):
        checks.extend(_on_images(config, model, contract, progress))
    return Verification(config.model, tuple(checks))


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelNotFoundError(path)
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors are not public
        raise ModelFormatError(path, "an ONNX model", first_line(error)) from error
    if not model.graph.node:
        raise ModelFormatError(path, "an ONNX model", "it has no nodes")
    return model


def _weights(model: onnx.ModelProto, contract: Contract) -> Check:
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


def _graph(model: onnx.ModelProto, contract: Contract) -> Check:
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
    if contract.rejection is not None and NOVELTY not in gives:
        yield f"the contract rejects by {NOVELTY}, which the graph does not give"


def _quantized_layers(model: onnx.ModelProto) -> tuple[int, int]:
    """Count as the export did: without the layers of outputs that were added to the network."""
    there = [output.name for output in model.graph.output]
    return count_quantized(only(model, [name for name in (LOGITS, LESION) if name in there]))


def _opset(model: onnx.ModelProto) -> int:
    return max((one.version for one in model.opset_import if one.domain == ""), default=0)


def _runtime(path: Path) -> Check:
    try:
        classifier = Classifier.load(path, device="cpu")
    except EdgeMriError as error:
        return Check("runtime", False, str(error))
    return Check("runtime", True, f"opens on {classifier.device}")


def _on_images(
    config: VerifyConfig, model: onnx.ModelProto, contract: Contract, progress: Progress
) -> Iterator[Check]:
    if config.checkpoint is None and config.data is None:
        yield Check("parity", None, "needs --checkpoint FILE")
        return
    checkpoint = None if config.checkpoint is None else Checkpoint.load(config.checkpoint)
    images = load_check_images(config.data, config.checkpoint, contract.preprocess, progress)
    own = config.data is None
    if contract.rejection is not None:
        yield _rejection(model, contract, images.pixels, own)
    if checkpoint is None:
        yield Check("parity", None, "needs --checkpoint FILE")
        return
    fit = _same_network(checkpoint, contract)
    yield fit
    if fit.passed:
        yield _parity(config, checkpoint, contract, images, own)


def _rejection(
    model: onnx.ModelProto, contract: Contract, pixels: NDArray[np.uint8], own: bool
) -> Check:
    gate = contract.rejection
    if gate is None:
        return Check("rejection", None, "the model answers every image")
    logits, novelty = measure(model, pixels)
    kept = float(answered(novelty, logits, contract, gate.max_novelty, gate.undecided).mean())
    figures = {"n": len(pixels), "kept": kept, "stored": {"n": gate.n, "kept": gate.kept}}
    detail = (
        f"answers {100 * kept:.2f} % of {len(pixels)} images, at the export "
        f"{100 * gate.kept:.2f} % of {gate.n}"
    )
    comparable = own and gate.n == len(pixels)
    passed = abs(kept - gate.kept) <= _SAME_SHARE if comparable else None
    return Check("rejection", passed, detail, figures)


def _same_network(checkpoint: Checkpoint, contract: Contract) -> Check:
    pairs: dict[str, tuple[object, object]] = {
        "name": (checkpoint.architecture, contract.name),
        "labels": (checkpoint.labels, contract.labels),
        "preprocess": (checkpoint.preprocess, contract.preprocess),
        "temperature": (checkpoint.temperature, contract.temperature),
    }
    wrong = [
        f"{name} is {left} in the checkpoint, {right} in the model"
        for name, (left, right) in pairs.items()
        if left != right
    ]
    if wrong:
        return Check("checkpoint", False, "; ".join(wrong))
    return Check("checkpoint", True, f"{', '.join(pairs)} as in the model")


def _parity(
    config: VerifyConfig,
    checkpoint: Checkpoint,
    contract: Contract,
    images: CheckImages,
    own: bool,
) -> Check:
    parity = compare(
        checkpoint_answers(checkpoint, images.pixels),
        file_answers(config.model, images.pixels),
        images.labels,
        images.paths,
        contract,
    )
    detail = (
        f"same answer on {100 * parity.agreement:.2f} % of {parity.n} images, logits differ by at "
        f"most {parity.max_logit_difference:.2g}"
    )
    stored = contract.parity
    if stored:
        detail += f"; at the export {100 * stored['agreement']:.2f} % of {stored['n']}"
    figures = {**parity.to_dict(), "stored": stored}
    try:
        if contract.precision == "fp32":
            parity.require_same_logits()
        else:
            parity.require_no_loss(config.max_drop, contract.precision.upper())
    except ParityError as error:
        reason = str(error).partition("; no file")[0].partition(". No ")[0]
        return Check("parity", False, f"{detail}: {reason}", figures)
    moved = own and stored and stored["n"] == parity.n
    if moved and abs(stored["agreement"] - parity.agreement) > _SAME_SHARE:
        return Check("parity", False, f"{detail}: not what the contract says", figures)
    return Check("parity", True, detail, figures)
