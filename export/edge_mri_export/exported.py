"""One exported file: finished, run as the runtime will, and kept only if its answers pass."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from edge_mri.classifier import Classifier
from edge_mri.model.contract import Contract
from edge_mri.model.session import SessionConfig
from edge_mri.storage.atomic import atomic_path
from edge_mri_export.errors import ParityError
from edge_mri_export.finishing import Finish
from edge_mri_export.graph.stored_contract import store_contract
from edge_mri_export.guard.answers import Answers, file_answers
from edge_mri_export.guard.calibration import CheckImages
from edge_mri_export.guard.comparison import compare
from edge_mri_export.guard.parity import Parity
from edge_mri_train.evaluation.predictor import SEEN_SUFFIX


@dataclass(frozen=True)
class Exported:
    """One file that was written, or refused.

    Attributes:
        path: Where it is, or would be; what an earlier export left there is not this file.
        parity: How far its answers are from PyTorch's.
        precision: `fp32`, `fp16` or `int8`.
        quantized_layers: How many layers with weights are INT8, and of how many; None if not INT8.
        trials: What was tried for it, as JSON values; empty if not INT8.
        chosen: Which of the trials it is, for people.
        notes: What was said while it was searched for, in order; empty if not INT8.
        reason: Why it was refused; "" if it was written.
    """

    path: Path
    parity: Parity
    precision: str = "fp32"
    quantized_layers: tuple[int, int] | None = None
    trials: tuple[dict[str, Any], ...] = ()
    chosen: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""

    def to_report(self) -> dict[str, Any]:
        """Return all that was measured, as JSON values."""
        return {
            "path": str(self.path),
            "precision": self.precision,
            "refused": bool(self.reason),
            "reason": self.reason,
            "bytes": None if self.reason else self.path.stat().st_size,
            "quantized_layers": self.quantized_layers and list(self.quantized_layers),
            "parity": self.parity.to_report(),
            "chosen": self.chosen,
            "trials": list(self.trials),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Writer:
    """What every file of an export is held against.

    Attributes:
        images: To compare answers on.
        expected: The network's answers to them in PyTorch.
        finish: What every file gets beside the network.
        reference: What gave the expected answers.
        seen: What the checkpoint remembers of its training images; None of an older one.
    """

    images: CheckImages
    expected: Answers
    finish: Finish
    reference: str
    seen: bytes | None

    def write(
        self,
        model: onnx.ModelProto,
        contract: Contract,
        path: Path,
        check: Callable[[Parity], None],
    ) -> Exported:
        """Finish a model, run it as the runtime will, and keep the file only if `check` passes.

        Raises:
            ParityError: It does not pass; the error has what was measured.
        """
        model, contract = self.finish.apply(model, contract)
        with atomic_path(path) as temporary:
            _save(model, contract, temporary)
            # Refuses what the runtime would refuse. Not kept: the parity is still to be written.
            Classifier(temporary, SessionConfig(device="cpu", cache=False))
            answers = file_answers(temporary, self.images.pixels)
            parity = compare(
                self.expected, answers, self.images.labels, self.images.paths, contract
            )
            parity = replace(parity, reference=self.reference)
            try:
                check(parity)
            except ParityError as error:
                refused = Exported(path, parity, contract.precision, reason=str(error))
                error.exported = (refused,)
                raise
            _save(model, replace(contract, parity=parity.to_dict()), temporary)
        self._write_seen(path)
        return Exported(path, parity, contract.precision)

    def _write_seen(self, model: Path) -> None:
        path = model.with_suffix(SEEN_SUFFIX)
        if self.seen is None:
            path.unlink(missing_ok=True)
            return
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.seen)


def remove(path: Path) -> None:
    """Remove an exported file and what lies beside it, where they are."""
    for stale in (path, path.with_suffix(SEEN_SUFFIX)):
        stale.unlink(missing_ok=True)


def _save(model: onnx.ModelProto, contract: Contract, path: Path) -> None:
    store_contract(model, contract)
    onnx.save(model, path)
