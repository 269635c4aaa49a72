"""OpenVINO as a backend: on edge-mri's own files, and with the INT8 that NNCF makes.

It gets edge-mri's decoding and preprocessing, a model compiled for each batch size, and only the
logits to compute.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.images import read_image
from edge_mri.images.preprocess import preprocess
from edge_mri_bench.backends.backends import Backend, Settings, Skipped
from edge_mri_bench.backends.networks import Network

_CALIBRATION = 128


class OpenVinoBackend(Backend):
    """A model compiled by OpenVINO for the CPU."""

    distributions = ("openvino", "numpy", "opencv-python-headless")

    def __init__(self, path: Path, settings: Settings, *, quantise: bool) -> None:
        contract = Classifier.load(path, device="cpu").contract
        super().__init__(
            contract.labels,
            contract.preprocess,
            temperature=contract.temperature,
            model_bytes=path.stat().st_size,
        )
        self._core = openvino.Core()
        if quantise:
            self.prepared = settings.prepared or self._quantise(path, settings)
            path = self.prepared
            self.model_bytes = sum(one.stat().st_size for one in path.parent.iterdir())
        self._model = _logits_alone(self._core.read_model(str(path)))
        self._options = {
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the benchmark pins
        }
        self._compiled: dict[int, Any] = {}
        self._local = threading.local()
        self._request(1)

    def infer(self, batch: Any) -> NDArray[np.float32]:
        """Run this thread's request."""
        result = self._request(len(batch)).infer([batch])
        logits: NDArray[np.float32] = result[0].copy()
        return logits

    def _request(self, batch_size: int) -> Any:
        requests = self._local.__dict__.setdefault("requests", {})
        if batch_size not in requests:
            if batch_size not in self._compiled:
                model = self._model.clone()
                model.reshape([batch_size, 1, self.spec.size, self.spec.size])
                self._compiled[batch_size] = self._core.compile_model(model, "CPU", self._options)
            requests[batch_size] = self._compiled[batch_size].create_infer_request()
        return requests[batch_size]

    def _quantise(self, path: Path, settings: Settings) -> Path:
        """Let NNCF quantise a file, with its own defaults."""
        import nncf

        if not settings.calibration:
            raise Skipped("NNCF needs images to calibrate with")
        chosen = settings.calibration[:_CALIBRATION]
        inputs = [preprocess(read_image(file), self.spec)[np.newaxis] for file in chosen]
        model = _logits_alone(self._core.read_model(str(path)))
        with _quiet():
            quantised = nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs))
        self.note = f"calibrated on {len(inputs)} of the timed images"
        folder = Path(tempfile.mkdtemp(prefix="nncf-", dir=settings.folder))
        openvino.save_model(quantised, folder / "model.xml")
        return folder / "model.xml"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's bars and advice off stdout, which is for records."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123  # no path
        yield


def _logits_alone(model: Any) -> Any:
    return openvino.Model([model.output("logits")], model.get_parameters(), "logits")


def open_backend(name: str, network: Network, settings: Settings) -> Backend:
    """Compile the network's file of the precision in the name."""
    path = network.int8 if name == "openvino-int8" else network.fp32
    if path is None:
        kind = "INT8" if name == "openvino-int8" else "FP32"
        raise Skipped(f"no {kind} file of {network.id} was given")
    try:
        return OpenVinoBackend(path, settings, quantise=name == "openvino-nncf")
    except RuntimeError as error:  # what OpenVINO raises for a graph that it cannot take
        raise Skipped(f"OpenVINO cannot take it: {str(error).strip().splitlines()[-1]}") from error
