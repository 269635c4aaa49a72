"""edge-mri's own runtime as a backend: the `Classifier`, as its users call it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri_bench.backends.backends import Answer, Backend, Settings, Skipped
from edge_mri_bench.backends.environment import RUNTIME
from edge_mri_bench.backends.networks import Network


class RuntimeBackend(Backend):
    """A model file through `edge_mri.Classifier`."""

    distributions = RUNTIME

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._classifier = Classifier.load(path, device="cpu")
        contract = self._classifier.contract
        super().__init__(
            contract.labels,
            contract.preprocess,
            temperature=contract.temperature,
            model_bytes=path.stat().st_size,
        )
        if threads > 1:
            self.note = (
                "a call takes one thread, so one image is no faster; "
                f"{threads} workers of a folder use {threads}"
            )

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run the session."""
        return self._classifier.logits(batch)

    def answer(self, path: Path) -> Answer:
        """Ask the classifier."""
        return self._classifier.predict(path)

    def stream(self, paths: Sequence[Path], workers: int) -> Iterator[Answer]:
        """Let the classifier stream."""
        return self._classifier.stream(paths, threads=workers)


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Open the network's file of the precision in the name."""
    path = network.int8 if name == "ort-int8" else network.fp32
    if path is None:
        raise Skipped(f"no {name.partition('-')[2].upper()} file of {network.id} was given")
    return RuntimeBackend(path, settings.threads)
