"""The plots of a record, as matplotlib figures: for the page, and as files for a README."""

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from edge_mri_bench.bounds import shares
from edge_mri_bench.goals import PEAK_BYTES
from edge_mri_bench.record import Record
from edge_mri_bench.stages import END_TO_END

_COLOURS = {"ort": "#1768ac", "pytorch": "#d1603d", "openvino": "#7b5ea7", "timm": "#8a8f98"}
_STEPS = {"decode": "#9fc5e8", "preprocess": "#f6c177", "inference": "#1768ac", "rest": "#cfd4da"}
_LIMIT = "#2e8b57"
_SHORT = {
    "pytorch": "PyTorch eager",
    "pytorch-best": "PyTorch at its best",
    "ort-fp32": "edge-mri FP32",
    "ort-int8": "edge-mri INT8",
    "openvino-fp32": "OpenVINO FP32",
    "openvino-int8": "OpenVINO, same INT8",
    "openvino-nncf": "OpenVINO, own INT8",
    "timm": "timm mobilenetv3_small",
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
    return {name: figure for name, figure in made.items() if figure is not None}


def name_of(row: dict[str, Any], *, alone: bool) -> str:
    """Return the short name of a row; without its network where there is only one."""
    short = _SHORT.get(row["backend"], row["backend"])
    return short if alone or row["backend"] == "timm" else f"{short} · {row['network']}"


def accuracy_against_latency(record: Record) -> Figure | None:
    """Plot type accuracy with intervals against the median time end to end."""
    rows = [row for row in _timed(record) if row["accuracy"]]
    if not rows:
        return None
    figure, axes = _figure(7.4, 4.6)
    alone = len({row["network"] for row in rows}) == 1
    shades = _markers(rows)
    for row in rows:
        score, x = row["accuracy"]["type"], row["stages"][END_TO_END]["median_ms"]
        y, (low, high) = 100 * score["share"], score["ci95"]
        axes.errorbar(
            x,
            y,
            yerr=[[max(y - 100 * low, 0)], [max(100 * high - y, 0)]],
            fmt=shades[row["network"]],
            color=_colour(row["backend"]),
            ecolor="#c3c9d1",
            elinewidth=1,
            markersize=8,
            markeredgecolor="white",
            label=name_of(row, alone=alone),
        )
    axes.set_xscale("log")
    _plain(axes.xaxis)
    axes.set(
        xlabel="median time from file to answer, ms (one core)",
        ylabel="type accuracy, % (95 % interval)",
        title="Left and up is better",
    )
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def steps(record: Record) -> Figure | None:
    """Plot the steps of one image as stacked bars, the bare decode as a line."""
    rows = sorted(_timed(record), key=lambda row: -row["stages"][END_TO_END]["median_ms"])
    if not rows:
        return None
    figure, axes = _figure(8.6, 1.3 + 0.42 * len(rows))
    alone = len({row["network"] for row in rows}) == 1
    for position, row in enumerate(rows):
        left = 0.0
        for step, value in shares(row["stages"]).items():
            label = step if position == 0 else None
            axes.barh(position, value, left=left, color=_STEPS[step], label=label, height=0.66)
            left += value
        axes.annotate(
            f"{left:.2f} ms",
            (left, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    limit = record["limits"]["grey_decode"]["median_ms"]
    axes.axvline(limit, color=_LIMIT, linewidth=1.4, linestyle="--")
    axes.annotate(
        f"bare grey decode {limit:.2f} ms",
        (limit, len(rows) - 0.42),
        xytext=(4, 2),
        textcoords="offset points",
        color=_LIMIT,
        fontsize=8.5,
    )
    axes.set_yticks(range(len(rows)), [name_of(row, alone=alone) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.1)
    axes.margins(x=0.12)
    axes.set_xlabel("milliseconds for one image, one core")
    axes.grid(visible=False, axis="y")
    axes.legend(fontsize=8.5, frameon=False, loc="upper right")
    return figure


def by_images(record: Record) -> Figure | None:
    """Plot the seconds of a folder against its images, and the bare decode of as many."""
    return _growth(
        record,
        "images",
        ("images", "seconds"),
        ("images in the folder", "seconds, start to end", "Folders"),
        limit=lambda row: row["images"] * record["limits"]["grey_decode"]["median_ms"] / 1e3,
    )


def by_memory(record: Record) -> Figure | None:
    """Plot the peak memory of a process against the images it answered."""
    figure = None
    if all(row["peak_bytes"] for row in _grown(record, "images")):
        figure = _growth(
            record,
            "images",
            ("images", lambda row: row["peak_bytes"] / 1e6),
            ("images in the folder", "peak resident memory, MB", "Memory"),
        )
    if figure is not None:
        (axes,) = figure.axes
        axes.set_yscale("linear")
        axes.set_ylim(0, 1.15 * max(PEAK_BYTES / 1e6, axes.get_ylim()[1]))
        axes.axhline(PEAK_BYTES / 1e6, color=_LIMIT, linestyle="--", linewidth=1.4, label="goal")
        axes.legend(fontsize=8.5, frameon=False)
    return figure


def by_resolution(record: Record) -> Figure | None:
    """Plot the time of an image against its side, and its bare decode."""
    return _growth(
        record,
        "resolution",
        ("size_px", lambda row: row["end_to_end_ms"]["median_ms"]),
        ("side of the JPEG, px", "ms from file to answer", "Resolution"),
        limit=lambda row: row["grey_decode_ms"]["median_ms"],
    )


def by_threads(record: Record) -> Figure | None:
    """Plot images a second against threads, and what as many times one core would be."""
    grown = record["scaling"]
    networks = [name for name, one in grown.items() if name != "networks" and "threads" in one]
    if not networks:
        return None
    figure, axes = _figure(5.0, 3.7)
    for network in networks:
        rows = grown[network]["threads"]
        threads = [row["threads"] for row in rows]
        speeds = [1e3 / row["per_image_ms"]["median_ms"] for row in rows]
        (line,) = axes.plot(threads, speeds, marker="o", label=network)
        ideal = [speeds[0] * count for count in threads]
        axes.plot(threads, ideal, linestyle=":", color=line.get_color(), linewidth=1)
    axes.set_xticks(sorted({row["threads"] for one in networks for row in grown[one]["threads"]}))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="threads, as many cores", ylabel="images/s", title="Threads (dotted: ideal)")
    axes.legend(fontsize=8.5, frameon=False)
    return figure


def by_network(record: Record) -> Figure | None:
    """Plot inference against multiply-accumulates, and the INT8 peak of the core."""
    rows = [row for row in record["scaling"].get("networks", ()) if row["macs"]]
    if not rows:
        return None
    figure, axes = _figure(7.4, 4.6)
    macs = [row["macs"] / 1e6 for row in rows]
    for precision, colour in (("fp32", "#9fc5e8"), ("int8", "#1768ac")):
        times = [row[f"{precision}_ms"]["median_ms"] for row in rows]
        axes.scatter(macs, times, color=colour, label=f"edge-mri {precision.upper()}", zorder=3)
    for row, x in zip(rows, macs, strict=True):
        axes.annotate(
            f"{row['network']}@{row['size_px']}",
            (x, row["int8_ms"]["median_ms"]),
            xytext=(5, -9),
            textcoords="offset points",
            fontsize=7.5,
        )
    ends = [min(macs) / 1.5, max(macs) * 1.5]
    peak = record["limits"]["int8_peak_gmacs"]
    axes.plot(
        ends,
        [one / peak for one in ends],
        linestyle="--",
        color=_LIMIT,
        label=f"INT8 peak, {peak:.0f} GMAC/s",
    )
    _logarithmic(axes)
    axes.set(
        xlabel="million multiply-accumulates", ylabel="ms per image, one core", title="Networks"
    )
    axes.legend(fontsize=8.5, frameon=False)
    return figure


def _growth(
    record: Record,
    key: str,
    values: tuple[str, str | Callable[[dict[str, Any]], float]],
    texts: tuple[str, str, str],
    limit: Callable[[dict[str, Any]], float] | None = None,
) -> Figure | None:
    grown = record["scaling"]
    networks = [name for name, one in grown.items() if name != "networks" and key in one]
    if not networks:
        return None
    figure, axes = _figure(5.0, 3.7)
    across, up = values
    for network in networks:
        rows = grown[network][key]
        heights = [row[up] if isinstance(up, str) else up(row) for row in rows]
        axes.plot([row[across] for row in rows], heights, marker="o", label=network)
    if limit is not None:
        rows = grown[networks[0]][key]
        axes.plot(
            [row[across] for row in rows],
            [limit(row) for row in rows],
            linestyle="--",
            color=_LIMIT,
            label="bare grey decode",
        )
    _logarithmic(axes)
    axes.set(xlabel=texts[0], ylabel=texts[1], title=texts[2])
    axes.legend(fontsize=8.5, frameon=False)
    return figure


def _grown(record: Record, key: str) -> list[dict[str, Any]]:
    parts = (one for name, one in record["scaling"].items() if name != "networks")
    return [row for one in parts for row in one.get(key, ())]


def _timed(record: Record) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if END_TO_END in row["stages"]]


def _markers(rows: list[dict[str, Any]]) -> dict[str, str]:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    return {network: "osD^vPX*"[position % 8] for position, network in enumerate(networks)}


def _colour(backend: str) -> str:
    base = _COLOURS[backend.partition("-")[0]]
    others = {
        "pytorch": "#e8a48c",
        "ort-fp32": "#7fb2dd",
        "openvino-fp32": "#c3b1dc",
        "openvino-nncf": "#b0408f",
    }
    return others.get(backend, base)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e9ee", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain(axes.xaxis)
    _plain(axes.yaxis)


def _plain(axis: Any) -> None:
    """Write 0.5 and 20, not powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())
