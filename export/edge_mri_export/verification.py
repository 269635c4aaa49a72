"""Checking a model file again, at any time: what export made sure of, and whether it still holds.

The file by itself (`edge_mri_export.integrity`); with images the rejection gate; with the
checkpoint the guard of the export (`edge_mri_export.guard.parity`). Nothing is written. How well a
model does is `edge_mri_train.evaluation.evaluating`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_mri.errors import AnswerError, ContractError, OptionError
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.signature import required_signature
from edge_mri.terminal.progress import Progress
from edge_mri_export.errors import ParityError
from edge_mri_export.exported import Exported
from edge_mri_export.gate.rejection import answered, measure
from edge_mri_export.guard.answers import checkpoint_answers, file_answers
from edge_mri_export.guard.calibration import CheckImages, load_check_images
from edge_mri_export.guard.comparison import compare
from edge_mri_export.guard.parity import MAX_DROP, Parity
from edge_mri_export.integrity import (
    Check,
    content_check,
    contract_check,
    graph_check,
    read_model,
    runtime_check,
    signature_check,
    weights_check,
)
from edge_mri_export.report import lines
from edge_mri_train.networks.checkpoint import Checkpoint

_SAME_SHARE = 0.005
"""Shares measured twice on the same images may differ by this, from CPU to CPU."""


@dataclass(frozen=True)
class VerifyConfig:
    """What is checked, and with what.

    Attributes:
        model: The ONNX file.
        checkpoint: What it was exported from; None leaves the comparison with PyTorch out.
        data: Class folders to compare on; None for the validation images of the checkpoint's run.
        max_drop: What the guard allows a quantised file, as at the export, in percent; None: 0.5.
        require_signature: The public key that the file must be signed for, see
            `edge_mri.classifier.Classifier.load`.
    """

    model: Path
    checkpoint: Path | None = None
    data: Path | None = None
    max_drop: float | None = None
    require_signature: Path | None = None
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_drop is None:
            return
        if not 0 <= self.max_drop <= 100:
            raise OptionError(f"--max-drop is {self.max_drop}; expected 0 to 100 percent")
        if self.checkpoint is None:
            raise OptionError(
                "--max-drop is for the comparison with a checkpoint; add --checkpoint FILE, or "
                "leave it out"
            )

    @property
    def allowed_drop(self) -> float:
        """What a quantised file may lose, in percent."""
        return MAX_DROP if self.max_drop is None else self.max_drop


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
        for check in checks:
            del check["lines"]  # the figures, in words
        return {"model": str(self.model), "passed": self.passed, "checks": checks}


def verify(config: VerifyConfig, progress: Progress) -> Verification:
    """Check a model file.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFormatError: It is no ONNX model.
        CheckpointError: The checkpoint cannot be used.
        DataError: The images cannot be used.
        OptionError: An option has no effect on this file.
        SignatureError: It is not signed as required.
    """
    model = read_model(config.model)
    file = OnnxFile.read(config.model)
    signed = signature_check(file, required_signature(config.require_signature))
    try:
        contract = Contract.from_metadata({one.key: one.value for one in model.metadata_props})
    except ContractError as error:
        return Verification(config.model, (Check("contract", False, str(error)),))
    stated = contract_check(contract)
    if not stated.passed:
        return Verification(config.model, (stated,))
    if config.max_drop is not None and contract.precision == "fp32":
        raise OptionError(
            f"--max-drop is for quantised files, and {config.model} is FP32: its logits are "
            "PyTorch's or it fails; leave it out"
        )
    checks = [
        stated,
        content_check(file, contract),
        signed,
        weights_check(model, contract),
        graph_check(model, contract),
        runtime_check(config.model),
    ]
    if all(check.passed is not False for check in checks):
        checks.extend(_on_images(config, model, contract, progress))
    return Verification(config.model, tuple(checks))


def _on_images(
    config: VerifyConfig, model: onnx.ModelProto, contract: Contract, progress: Progress
) -> Iterator[Check]:
    if config.checkpoint is None and config.data is None:
        yield Check("parity", None, "needs --checkpoint FILE")
        return
    checkpoint = (
        None if config.checkpoint is None else Checkpoint.load(config.checkpoint, config.named)
    )
    if checkpoint is not None:
        fit = _same_network(checkpoint, contract)
        yield fit
        if not fit.passed:
            return
    images = load_check_images(
        config.data, config.checkpoint, contract.preprocess, progress, contract.labels
    )
    own = config.data is None
    if contract.rejection is not None:
        yield _rejection(model, contract, images.pixels, own)
    if checkpoint is None:
        yield Check("parity", None, "needs --checkpoint FILE")
    else:
        yield _parity(config, checkpoint, contract, images, own)


def _rejection(
    model: onnx.ModelProto, contract: Contract, pixels: NDArray[np.uint8], own: bool
) -> Check:
    gate = contract.rejection
    if gate is None:
        return Check("rejection", None, "the model answers every image")
    try:
        kept = float(answered(measure(model, pixels), contract, gate).mean())
    except AnswerError as error:
        return Check("rejection", False, str(error))
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
        "tumor_threshold": (checkpoint.tumor_threshold, contract.tumor_threshold),
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
    if parity.max_lesion_difference is not None:
        detail += f", the lesion map by at most {parity.max_lesion_difference:.2g}"
    stored = contract.parity
    if stored:
        detail += f"; at the export {100 * stored['agreement']:.2f} % of {stored['n']}"
    figures = {**parity.to_report(), "stored": stored}
    more = tuple(_lines(config.model, parity, contract))
    try:
        if contract.precision == "fp32":
            parity.require_same_outputs()
        else:
            parity.require_no_loss(config.allowed_drop, contract.precision.upper())
    except ParityError as error:
        reason = error.reason
        allowed = contract.quantization.get("max_drop", 0)
        if allowed > config.allowed_drop:
            reason += f", the export was told to allow {allowed:g} %"
        return Check("parity", False, f"{detail}: {reason}", figures, more)
    moved = own and stored and stored["n"] == parity.n
    if moved and abs(stored["agreement"] - parity.agreement) > _SAME_SHARE:
        return Check("parity", False, f"{detail}: not what the contract says", figures, more)
    return Check("parity", True, detail, figures, more)


def _lines(model: Path, parity: Parity, contract: Contract) -> Iterator[str]:
    """Yield what an export says of a file below its size and its agreement."""
    exported = Exported(model, parity, contract.precision)
    for line in islice(lines(exported), 2, None):
        yield line.replace("--json FILE", "--json")  # here it is a flag
