"""Fresh processes: how long from start to the first answer, and how much memory at the most."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_mri_bench.backends.backends import Settings
from edge_mri_bench.backends.networks import Network
from edge_mri_bench.errors import ChildError

IMPORTS = "import numpy, cv2, onnxruntime; print(1, flush=True)"
_TIMEOUT_S = 1800
_CHILD = ("-m", "edge_mri_bench.backends.child")


@dataclass(frozen=True)
class Started:
    """What a fresh process took.

    Attributes:
        first_line_s: From its start to its first line on stdout.
        total_s: From its start to its end.
        peak_bytes: Its peak resident memory; None where it did not tell.
    """

    first_line_s: float
    total_s: float
    peak_bytes: int | None


def start_imports() -> Started:
    """Start a process that only imports what the runtime stands on: the floor of a cold start."""
    return _run(["-c", IMPORTS])


def start_infer(model: Path, paths: Sequence[Path], *, threads: int) -> Started:
    """Start `edge-mri infer`, the way a user does."""
    arguments = ["infer", "--model", str(model), "--threads", str(threads), "--format", "jsonl"]
    return _run([*_CHILD, *arguments, *(str(path) for path in paths)])


def start_backend(
    name: str, network: Network, settings: Settings, files: Sequence[Path]
) -> Started:
    """Start a process that opens a backend and answers some files."""
    spec = {"backend": name, "network": network.to_dict(), "settings": settings.to_dict()}
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as folder:
        file = Path(folder) / "spec.json"
        file.write_text(json.dumps(spec), encoding="utf-8")
        return _run([*_CHILD, "answer", str(file), *(str(one) for one in files)])


def _run(arguments: Sequence[str]) -> Started:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=errors, env=environment
        ) as process:
            assert process.stdout is not None
            try:
                process.stdout.readline()
                first = time.perf_counter() - started
                while process.stdout.read(1 << 16):
                    pass
                code = process.wait(_TIMEOUT_S)
            except BaseException:
                process.kill()
                raise
        total = time.perf_counter() - started
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if code:
        reason = said[-1] if said else f"exit code {code}"
        raise ChildError(f"a process of the benchmark failed ({' '.join(arguments[:3])}): {reason}")
    return Started(first, total, _peak(said))


def _peak(said: list[str]) -> int | None:
    try:
        values: dict[str, Any] = json.loads(said[-1])
        peak: int | None = values["peak_bytes"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return peak
