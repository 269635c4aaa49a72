"""The last phase of a run: how the cost of each network's own file grows, and of other networks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_mri.errors import EdgeMriError
from edge_mri.process.workers import available_threads
from edge_mri_bench.backends.networks import Network
from edge_mri_bench.measuring import scaling
from edge_mri_bench.measuring.run import Run


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
            place = run.folder / row / "sizes"
            with _kept(grown, "resolution") as rows:
                scaling.by_resolution(backend, place, effort.rounds, effort.calls, step, rows)
        many = [files[number % len(files)] for number in range(effort.folder_images)]
        grown["threads"] = scaling.by_threads(
            backend, many, available_threads(), effort.folder_rounds
        )
    if effort.counts:
        place = run.folder / row / "counts"
        limit_s = effort.counts_limit_s
        with _kept(grown, "images") as rows:
            left_out = scaling.by_images(
                model, files, effort.counts, place, run.progress, limit_s=limit_s, rows=rows
            )
        run.record["left_out"] += [f"{row}, {reason}" for reason in left_out]
        last = grown["images"][-1]
        run.measured.many[row] = (last["images"], last["peak_bytes"])


@contextmanager
def _kept(grown: dict[str, Any], key: str) -> Iterator[list[dict[str, Any]]]:
    """Keep the rows that there are, also when an interrupt ends them early."""
    rows: list[dict[str, Any]] = []
    try:
        yield rows
    finally:
        if rows:
            grown[key] = rows


def _sweep(run: Run) -> None:
    try:
        from edge_mri_bench.measuring import sweep

        sizes = [("mobilenet_v2", size) for size in sweep.SIZES_PX]
        rows, missing = sweep.by_network(
            [*sweep.NETWORKS, *sizes], run.effort.rounds, run.effort.calls, run.progress
        )
    except (ModuleNotFoundError, EdgeMriError) as error:
        run.record["left_out"].append(f"cost by network: {error}")
        return
    run.record["scaling"]["networks"] = rows
    run.record["left_out"] += [f"cost by network: {reason}" for reason in missing]
