"""A record as one self-contained HTML page: tiles, plots, tables that sort by a click."""

from pathlib import Path
from typing import Any

from edge_mri.storage.atomic import atomic_path
from edge_mri_bench.backends.backends import EAGER
from edge_mri_bench.figures.record import Record
from edge_mri_bench.figures.results import REFERENCE
from edge_mri_bench.figures.stages import END_TO_END
from edge_mri_bench.telling import wording
from edge_mri_bench.telling.floor import floor_text
from edge_mri_bench.telling.plots import figures, name_of
from edge_mri_train.pages import plot, write_page


def write_benchmark_page(
    record: Record, path: Path, compared: dict[str, Any] | None = None
) -> None:
    """Write the page."""
    rows = _rows(record)
    own = [row for row in rows if row["backend"] in ("ort-int8", "ort-fp32")]
    write_page(
        "benchmark.html",
        path,
        package="edge_mri_bench.telling",
        title="Benchmark of edge-mri",
        record=record,
        compared=compared,
        plots={name: plot(figure) for name, figure in figures(record).items()},
        warnings=wording.warnings(record),
        floor=floor_text(record["floor"]) if record.get("floor") else None,
        rows=rows,
        headline=min(own, key=_median_ms) if own else None,
        wording=wording,
        reference=REFERENCE.partition("/")[0],
    )


def _rows(record: Record) -> list[dict[str, Any]]:
    """Return the timed rows with their names and ratios, as the tables want them."""
    alone = len({row["network"] for row in record["rows"]}) == 1

    def ratio(row: dict[str, Any], other: str) -> dict[str, Any] | None:
        return wording.against(record, row["row"], END_TO_END, other)

    return [
        row
        | {
            "name": name_of(row, alone=alone),
            "own": ratio(row, f"{row['network']}/{EAGER}"),
            "reference": ratio(row, REFERENCE),
        }
        for row in record["rows"]
        if END_TO_END in row["stages"]
    ]


def _median_ms(row: dict[str, Any]) -> float:
    median: float = row["stages"][END_TO_END]["median_ms"]
    return median


def write_plots(record: Record, folder: Path) -> list[Path]:
    """Write each plot as `FOLDER/benchmark-NAME.svg`; returns the files."""
    written = []
    for name, figure in figures(record).items():
        path = folder / f"benchmark-{name}.svg"
        with atomic_path(path) as temporary:
            temporary.write_text(f"{plot(figure)}", encoding="utf-8")
        written.append(path)
    return written
