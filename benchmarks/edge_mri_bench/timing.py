"""The second phase of a run: all steps of all backends, and the physics, in interleaved rounds."""

from edge_mri_bench.bounds import explain
from edge_mri_bench.noise import Reference
from edge_mri_bench.physics import GREY_DECODE, LIMIT, grey_decode_cell, peak_kernels
from edge_mri_bench.pinning import pinned
from edge_mri_bench.rounds import Cell, Rounds
from edge_mri_bench.run import Run
from edge_mri_bench.stages import cells_of
from edge_mri_bench.statistics import summarise
from edge_mri_train.errors import first_line

_NOISE = ("noise", "reference")
_INT8 = ("ort-int8", "openvino-int8", "openvino-nncf")
_START_GUESS_S = 4.0


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
                _limits(run, {kernel.cell.stage: kernel.macs for kernel in kernels})
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
    }
    shown = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items())
    run.progress.say(f"About {sum(parts.values()) / 60:.1f} minutes to go ({shown}).")


def _limits(run: Run, macs: dict[str, int]) -> None:
    samples = run.measured.stages
    kernels = {stage: macs[stage] / 1e6 / summarise(samples[LIMIT, stage]).min_ms for stage in macs}
    run.record["limits"] = {
        GREY_DECODE: summarise(samples[LIMIT, GREY_DECODE]).to_dict(),
        "int8_peak_gmacs": round(max(kernels.values()), 1),
        "int8_kernels_gmacs": {stage: round(value, 1) for stage, value in kernels.items()},
    }


def _rows(run: Run) -> None:
    peak = run.record["limits"]["int8_peak_gmacs"]
    for name, row in run.rows.items():
        row["stages"] = {
            stage: summarise(values).to_dict()
            for (owner, stage), values in run.measured.stages.items()
            if owner == name
        }
        macs = row["macs"] if row["backend"] in _INT8 else None
        row["bound"] = explain(row["stages"], macs, peak, row["layers"])
