"""The plots of how cost grows: with images, resolution, threads and the network."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from edge_mri_bench.figures.goals import PEAK_BYTES
from edge_mri_bench.figures.record import Record
from edge_mri_bench.telling.axes import LIMIT_COLOUR, colour, logarithmic, new_figure


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
        axes.axhline(
            PEAK_BYTES / 1e6, color=LIMIT_COLOUR, linestyle="--", linewidth=1.4, label="goal"
        )
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
    figure, axes = new_figure(5.0, 3.7)
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
    """Plot inference against multiply-accumulates, and the peaks of the core."""
    rows = [row for row in record["scaling"].get("networks", ()) if row["macs"]]
    if not rows:
        return None
    figure, axes = new_figure(7.4, 4.6)
    macs = [row["macs"] / 1e6 for row in rows]
    for precision in ("fp32", "int8"):
        times = [row[f"{precision}_ms"]["median_ms"] for row in rows]
        label, shade = f"edge-mri {precision.upper()}", colour(f"ort-{precision}")
        axes.scatter(macs, times, color=shade, label=label, zorder=3)
    for row, x in zip(rows, macs, strict=True):
        axes.annotate(
            f"{row['network']}@{row['size_px']}",
            (x, row["int8_ms"]["median_ms"]),
            xytext=(5, -9),
            textcoords="offset points",
            fontsize=7.5,
        )
    ends = [min(macs) / 1.5, max(macs) * 1.5]
    for precision, style in (("int8", "--"), ("fp32", ":")):
        peak = record["limits"].get(f"{precision}_peak_gmacs")
        if peak:  # records of earlier versions lack FP32's
            axes.plot(
                ends,
                [one / peak for one in ends],
                linestyle=style,
                color=LIMIT_COLOUR,
                label=f"{precision.upper()} peak, {peak:.0f} GMAC/s",
            )
    logarithmic(axes)
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
    figure, axes = new_figure(5.0, 3.7)
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
            color=LIMIT_COLOUR,
            label="bare grey decode",
        )
    logarithmic(axes)
    axes.set(xlabel=texts[0], ylabel=texts[1], title=texts[2])
    axes.legend(fontsize=8.5, frameon=False)
    return figure


def _grown(record: Record, key: str) -> list[dict[str, Any]]:
    parts = (one for name, one in record["scaling"].items() if name != "networks")
    return [row for one in parts for row in one.get(key, ())]
