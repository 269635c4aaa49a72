"""A phase of a run: fresh processes, their time to the first answer, and their memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_mri_bench.backends import processes
from edge_mri_bench.errors import ChildError
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.figures.results import IMPORTS
from edge_mri_bench.figures.statistics import summarise
from edge_mri_bench.measuring.run import Run


def start_processes(run: Run) -> None:
    """Start a process of each backend, and one that only imports, in interleaved rounds."""
    one = run.work.files[:1]
    times: dict[str, list[list[float]]] = {row: [] for row in (IMPORTS, *run.opened)}
    peaks: dict[str, list[int | None]] = {row: [] for row in run.opened}
    generator = np.random.default_rng(run.config.seed)
    steps = run.effort.starts * len(times)
    with pinned(run.config.threads), run.progress.bar("starts", steps) as step:
        processes.start_imports()  # brings the files into the page cache
        for _ in range(run.effort.starts):
            for row in generator.permutation(list(times)):
                step()
                try:
                    ended = _start(run, str(row), one)
                except ChildError as error:
                    run.record["left_out"].append(f"cold start of {row}: {error}")
                    del times[row]
                    peaks.pop(row, None)
                    continue
                times[row].append([1e3 * ended.first_line_s])
                if row in peaks:
                    peaks[row].append(ended.peak_bytes)
    run.measured.starts = {row: np.array(values) for row, values in times.items()}
    if IMPORTS in times:
        run.record["limits"]["imports_ms"] = summarise(run.measured.starts[IMPORTS]).to_dict()
    for row, told in peaks.items():
        known = [value for value in told if value is not None]
        run.measured.peaks[row] = max(known) if known else None
        run.rows[row]["peak_bytes"] = run.measured.peaks[row]
        run.rows[row]["start_ms"] = summarise(run.measured.starts[row]).to_dict()


def _start(run: Run, row: str, files: tuple[Path, ...]) -> processes.Started:
    if row == IMPORTS:
        return processes.start_imports()
    name, network = run.opened[row]
    if name in ("ort-fp32", "ort-int8"):
        model = network.int8 if name == "ort-int8" else network.fp32
        assert model is not None
        return processes.start_infer(model, files, threads=run.config.threads)
    backend = run.backends[row]
    settings = replace(run.settings, variant=backend.variant, prepared=backend.prepared)
    return processes.start_backend(name, network, settings, files)
