"""The second phase of a run: all steps of all backends, and the physics, in interleaved rounds."""

import time
from collections.abc import Sequence

from edge_mri_bench.figures.bounds import explain
from edge_mri_bench.figures.noise import Reference
from edge_mri_bench.figures.physics import (
    GREY_DECODE,
    LIMIT,
    Kernel,
    grey_decode_cell,
    peak_kernels,
)
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.figures.rounds import Cell, Rounds
from edge_mri_bench.figures.stages import cells_of
from edge_mri_bench.figures.statistics import summarise
from edge_mri_bench.measuring.growing import growing_row
from edge_mri_bench.measuring.run import Run
from edge_mri_bench.measuring.scaling import RESOLUTIONS_PX
from edge_mri_bench.measuring.sweep import NETWORKS, SIZES_PX
from edge_mri_train.errors import first_line

_NOISE = ("noise", "reference")
_PRECISIONS = {
    "ort-int8": "int8",
    "openvino-int8": "int8",
    "openvino-nncf": "int8",
    "ort-fp32": "fp32",
    "openvino-fp32": "fp32",
    "pytorch": "fp32",
}
_START_GUESS_S = 4.0
_EXPORT_GUESS_S = 45.0  # of one network of the sweep


def time_steps(run: Run) -> None:
    """Time everything that is open; what fails is dropped."""
    reference, kernels = Reference(), peak_kernels()
    cells = [
        Cell(*_NOISE, reference),
        grey_decode_cell(run.work.files),
        *(kernel.cell for kernel in kernels),
    ]
    record = run.record
    with pinned(run.config.threads) as cores:
        record["settings"]["pinned_cores"] = cores
        for row in list(run.backends):
            cells += _cells(run, row)
        timed = Rounds(cells, run.effort.calls, run.config.seed)
        _estimate(run, timed.warm_up())
        try:
            with run.progress.bar("rounds", run.effort.rounds * len(cells)) as step:
                timed.run(run.effort.rounds, step)
        finally:
            run.measured.stages = samples = timed.samples()
            record["settings"]["rounds_done"] = timed.done
            if timed.done:
                record["noise"] = reference.verdict(samples[_NOISE])
                _limits(run, kernels)
                _rows(run)
    if record["noise"]["noisy"]:
        run.progress.say(record["noise"]["warning"])


def _cells(run: Run, row: str) -> list[Cell]:
    """Return the cells of a backend that answers, none of one that fails, which is dropped."""
    try:
        cells = cells_of(row, run.backends[row], run.work.files, run.effort.batch_sizes)
        for cell in cells:
            cell.call(0)
    except Exception as error:  # backends' errors share no base class
        run.drop(row, f"it failed: {first_line(error)}")
        return []
    return cells


def _estimate(run: Run, round_s: float) -> None:
    """Say how long the rest takes, from what the warm-up took."""
    effort = run.effort
    share = round_s / (effort.calls + 1)
    parts = {
        "rounds": round_s * effort.rounds,
        "folders": share / 2 * effort.folder_images * effort.folder_rounds,
        "answers": share / 2 * max(len(run.work.labelled), effort.images),
        "starts": _START_GUESS_S * len(run.backends) * effort.starts,
        "growth": _growth_s(run),
    }
    shown = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items() if seconds)
    run.progress.say(f"About {sum(parts.values()) / 60:.1f} minutes to go ({shown}).")


def _growth_s(run: Run) -> float:
    """Return the seconds that `growing` will take, by the pace of one image now."""
    effort, seconds = run.effort, 0.0
    for network in run.networks:
        backend = run.backends.get(growing_row(network))
        if backend is None:
            continue
        started = time.perf_counter()
        backend.answer(run.work.files[0])
        image_s = time.perf_counter() - started
        folders = (count * image_s for count in effort.counts)
        seconds += sum(one for one in folders if one <= effort.counts_limit_s)
        if effort.resolutions:
            calls = len(RESOLUTIONS_PX) * effort.rounds * (effort.calls + 1)
            threads = effort.folder_images * effort.folder_rounds
            seconds += image_s * (2 * calls + threads)  # end to end, and its steps apart
    if effort.sweep:
        seconds += _EXPORT_GUESS_S * (len(NETWORKS) + len(SIZES_PX))
    return seconds


def _limits(run: Run, kernels: Sequence[Kernel]) -> None:
    samples = run.measured.stages
    limits = {GREY_DECODE: summarise(samples[LIMIT, GREY_DECODE]).to_dict()}
    for precision in ("int8", "fp32"):
        reached = {
            kernel.cell.stage: round(kernel.macs / 1e6 / samples[kernel.cell.key].min(), 1)
            for kernel in kernels
            if kernel.precision == precision
        }
        limits |= {
            f"{precision}_peak_gmacs": max(reached.values()),
            f"{precision}_kernels_gmacs": reached,
        }
    run.record["limits"] = limits


def _rows(run: Run) -> None:
    for name, row in run.rows.items():
        row["stages"] = {
            stage: summarise(values).to_dict()
            for (owner, stage), values in run.measured.stages.items()
            if owner == name
        }
        precision = _PRECISIONS.get(row["backend"])
        peak = run.record["limits"][f"{precision}_peak_gmacs"] if precision else None
        row["bound"] = explain(row["stages"], row["macs"], peak, row["layers"], precision or "")
