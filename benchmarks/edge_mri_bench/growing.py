"""The last phase of a run: how the cost of each network's own file grows, and of other networks."""

from pathlib import Path
from typing import Any

from edge_mri.errors import EdgeMriError
from edge_mri.workers import available_threads
from edge_mri_bench import scaling
from edge_mri_bench.networks import Network
from edge_mri_bench.run import Run


def growing_row(network: Network) -> str:
    """Return the row of a network whose growth is measured: its fastest own file."""
    return f"{network.id}/{'ort-int8' if network.int8 else 'ort-fp32'}"


def measure_growth(run: Run) -> None:
    """Measure it by images, resolution, threads and, where wanted, by network."""
    for network in run.networks:
        row = growing_row(network)
        if row in run.backends and network.model is not None:
            grown: dict[str, Any] = {}
            run.record["scaling"][network.id] = grown
            _grow(run, network.model, row, grown)
    if run.effort.sweep:
        _sweep(run)


def _grow(run: Run, model: Path, row: str, grown: dict[str, Any]) -> None:
    effort, backend, files = run.effort, run.backends[row], run.work.files
    if effort.resolutions:
        with run.progress.bar("resolutions", len(scaling.RESOLUTIONS_PX)) as step:
            grown["resolution"] = scaling.by_resolution(
                backend, run.folder / row / "sizes", effort.rounds, effort.calls, step
            )
        many = [files[number % len(files)] for number in range(effort.folder_images)]
        grown["threads"] = scaling.by_threads(
            backend, many, available_threads(), effort.folder_rounds
        )
    if effort.counts:
        place = run.folder / row / "counts"
        grown["images"], left_out = scaling.by_images(
            model, files, effort.counts, place, run.progress, limit_s=effort.counts_limit_s
        )
        run.record["left_out"] += [f"{row}, {reason}" for reason in left_out]
        last = grown["images"][-1]
        run.measured.many[row] = (last["images"], last["peak_bytes"])


def _sweep(run: Run) -> None:
    try:
        from edge_mri_bench import sweep

        sizes = [("mobilenet_v2", size) for size in sweep.SIZES_PX]
        rows, missing = sweep.by_network(
            [*sweep.NETWORKS, *sizes], run.effort.rounds, run.effort.calls, run.progress
        )
    except (ModuleNotFoundError, EdgeMriError) as error:
        run.record["left_out"].append(f"cost by network: {error}")
        return
    run.record["scaling"]["networks"] = rows
    run.record["left_out"] += [f"cost by network: {reason}" for reason in missing]
