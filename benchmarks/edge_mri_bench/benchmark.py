"""A benchmark from its options to its record, phase by phase.

The record is handed over after every phase, so that what ends a run early costs one phase at most;
an interrupt leaves a record that is marked partial. Each phase is a function of another module.
"""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edge_mri.terminal.progress import Progress
from edge_mri_bench.backends.networks import group, labels_of
from edge_mri_bench.config import EFFORTS, BenchmarkConfig, Effort
from edge_mri_bench.figures.machine import machine, revision, versions
from edge_mri_bench.figures.record import COMPLETE, FORMAT, FORMAT_VERSION, PARTIAL, Record
from edge_mri_bench.measuring.answering import answer_all, stream_folders
from edge_mri_bench.measuring.growing import measure_growth
from edge_mri_bench.measuring.opening import open_backends
from edge_mri_bench.measuring.run import Run
from edge_mri_bench.measuring.starting import start_processes
from edge_mri_bench.measuring.timing import time_steps
from edge_mri_bench.measuring.workload import Workload, load_workload


def benchmark(
    config: BenchmarkConfig,
    progress: Progress,
    save: Callable[[Record], None] = lambda _: None,
    effort: Effort | None = None,
) -> Record:
    """Measure, and return the record.

    Args:
        config: What.
        progress: Told how far it is.
        save: Given the record after each phase, marked partial until the last.
        effort: In place of the one that the config names.

    Returns:
        JSON values; `status` is `complete`, or `partial` after Ctrl-C.

    Raises:
        EdgeMriError: A file or an option cannot be used; nothing was measured.
    """
    networks = group(config.models, config.checkpoints, config.named)
    with tempfile.TemporaryDirectory(prefix="edge-mri-") as folder:
        chosen = effort or EFFORTS[config.effort]
        work = load_workload(
            config.data,
            chosen.images,
            Path(folder) / "phantoms",
            time_phantoms=config.time_phantoms,
            labels=labels_of(networks[0]),
        )
        run = Run(
            config, chosen, networks, work, Path(folder), _new(config, chosen, work), progress
        )
        return _go(run, progress, save)


def _go(run: Run, progress: Progress, save: Callable[[Record], None]) -> Record:
    phases = {
        "opening": open_backends,
        "rounds": time_steps,
        "folders": stream_folders,
        "answers": answer_all,
        "starts": start_processes,
        "scaling": measure_growth,
    }
    record = run.record
    for name, phase in phases.items():
        try:
            phase(run)
            record["phases"].append(name)
        except KeyboardInterrupt:
            record["interrupted"] = name
            progress.say(f"Interrupted during {name}: the record is partial.")
            break
        finally:
            run.conclude()
        save(record)
    else:
        record["status"] = COMPLETE
    save(record)
    return record


def _new(config: BenchmarkConfig, effort: Effort, work: Workload) -> Record:
    """Return a record that says what is about to be measured, and on what."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "status": PARTIAL,
        "interrupted": None,
        "phases": [],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": machine(),
        "versions": versions(),
        "settings": {
            "effort": config.effort,
            "threads": config.threads,
            "seed": config.seed,
            "rounds": effort.rounds,
            "calls": effort.calls,
            "starts": effort.starts,
            "folder_images": effort.folder_images,
            "folder_rounds": effort.folder_rounds,
        },
        "images": work.describe(),
        "left_out": list(work.left_out),
        "skipped": [],
        "noise": None,
        "limits": {},
        "rows": [],
        "ratios": [],
        "goals": {},
        "scaling": {},
    }
