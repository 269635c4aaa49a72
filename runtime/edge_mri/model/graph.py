"""A graph: an opened model file, what it says about itself, and its outputs by name.

What the outputs mean is the classifier's matter (`edge_mri.classifier`); the session that runs them
is `edge_mri.model.session`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ContractError, ModelFormatError, RunError
from edge_mri.model.contract import Contract
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.providers import CPU, CUDA, short_name
from edge_mri.model.session import Run, SessionConfig, open_session, runner
from edge_mri.model.signature import require_signature

CPU_CALL = 4
"""Images per call on a CPU: docs/decisions/0023."""

_LEFT_BEHIND: list[Run] = []  # sessions of the process that forked: to end one may wait for ever


class Graph:
    """A model file, opened on a device. Safe to call from several threads at once.

    A process that forks may have other threads in the middle of a call, whose locks nobody opens
    in the child. So a child opens the file again with its first call, and refuses one that has
    changed. CUDA does not work in such a child: it takes one that was spawned.

    Attributes:
        contract: What the model says about itself.
        model_sha256: Hash of the model file, hexadecimal.
        outputs: The names of what it gives.
        device: `cpu`, `cuda`, or another execution provider's name: what it really runs on.
        provider: onnxruntime's name of the same.
        fixed_batch: How many images a call must have; None where any number will do.
    """

    def __init__(self, path: Path, config: SessionConfig) -> None:
        """Open a model file.

        Raises:
            ModelError: No such file, no model, or no contract that this version understands.
            DeviceError: What was asked for cannot be used.
        """
        model = OnnxFile.read(path)
        self.contract = Contract.from_metadata(model.metadata)  # before the graph is looked at
        model = model.expecting(self.contract)
        if config.require_signature is not None:
            require_signature(model, config.require_signature)
        self.model_sha256 = model.sha256
        session = open_session(model, config)
        self.provider = str(session.get_providers()[0])
        self.device = {CPU: "cpu", CUDA: "cuda"}.get(self.provider, self.provider)
        self.outputs = frozenset(output.name for output in session.get_outputs())
        self.fixed_batch = _check_signature(session, self.contract)
        self._run = runner(session)
        self._path, self._config = path, config
        self._process = os.getpid()

    def run(self, names: Sequence[str], batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return outputs by name for `(N, 1, S, S)` uint8 network input.

        Raises:
            RunError: onnxruntime fails, such as for want of memory.
            ModelError: In a forked child: the file is gone, or another one.
        """
        if self._process != os.getpid():
            self._open_again()
        most = self.fixed_batch or (CPU_CALL if self.provider == CPU else len(batch))
        try:
            if len(batch) == most or (len(batch) < most and self.fixed_batch is None):
                return self._run(list(names), batch)
            fill = self.fixed_batch is not None
            return _in_calls(self._run, list(names), batch, most, fill=fill)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise RunError(short_name(self.provider), len(batch), str(error)) from error

    def _open_again(self) -> None:
        again = Graph(self._path, self._config)
        if again.model_sha256 != self.model_sha256:
            raise ModelFormatError(
                self._path, "the model that this process forked with", "it was written again since"
            )
        _LEFT_BEHIND.append(self._run)
        self._run, self._process = again._run, again._process


_REAL = ("tensor(float)", "tensor(float16)", "tensor(double)")


def _check_signature(session: Any, contract: Contract) -> int | None:
    """Compare graph and contract; return the batch size the graph insists on, if it does.

    Raises:
        ContractError: They differ in what the graph takes, or in shape or type of an output that is
            read: one it must have, or one that means something where it is there.
    """
    size = contract.preprocess.size
    takes = session.get_inputs()[0]
    shape = list(takes.shape)
    if takes.type != "tensor(uint8)" or len(shape) != 4 or shape[1:] != [1, size, size]:
        raise ContractError(
            f"the graph takes {takes.type} {takes.shape}, "
            f"the contract says uint8 (N, 1, {size}, {size})"
        )
    gives = {output.name: list(output.shape or ()) for output in session.get_outputs()}
    kinds = {output.name: output.type for output in session.get_outputs()}
    expected: dict[str, tuple[int | str, ...]] = {
        "logits": (len(contract.labels.classes),),
        "novelty": (),
        "lesion": (1, "h", "w"),
        "cam": (len(contract.labels.types), "h", "w"),
    }
    needed = {"logits"}
    if contract.rejection is not None and contract.rejection.max_foreign is not None:
        expected["foreign"] = ()
        needed.add("foreign")
    for name, sides in expected.items():
        if name not in needed and name not in gives:
            continue
        if not _fits(gives.get(name, []), shape[0], sides):
            said = ", ".join(map(str, ("N", *sides)))
            raise ContractError(
                f"the graph's outputs are {gives}, the contract says {name} ({said})"
            )
        if kinds[name] not in _REAL:
            raise ContractError(
                f"the graph's output {name} is a {kinds[name]}, expected real numbers"
            )
    return shape[0] if isinstance(shape[0], int) else None


def _fits(
    shape: list[int | str | None], batch: int | str | None, sides: tuple[int | str, ...]
) -> bool:
    """Say whether an output's shape is a batch, as large as the input's, of what has these sides.

    A side by name is any above 0, also one that only a run tells.
    """
    if len(shape) != 1 + len(sides) or (isinstance(shape[0], int) and shape[0] != batch):
        return False
    return all(
        side == wanted if isinstance(wanted, int) else not isinstance(side, int) or side > 0
        for side, wanted in zip(shape[1:], sides, strict=True)
    )


def _in_calls(
    run: Run, names: list[str], batch: NDArray[np.uint8], size: int, *, fill: bool
) -> list[NDArray[np.float32]]:
    """Run a graph on `size` images a call; with `fill`, black ones fill up the last."""
    parts = []
    for start in range(0, max(len(batch), 1), size):
        part = batch[start : start + size]
        given = part
        if fill and len(part) < size:
            given = np.zeros((size, *batch.shape[1:]), np.uint8)
            given[: len(part)] = part
        parts.append([array[: len(part)] for array in run(names, given)])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
