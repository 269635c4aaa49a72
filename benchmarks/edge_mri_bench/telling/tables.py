"""Tables in Markdown: of how cost grows, and of a comparison of two records."""

from collections.abc import Iterable, Sequence
from typing import Any

from edge_mri_bench.figures.record import Record
from edge_mri_bench.telling import wording


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def growth_tables(record: Record) -> str:
    """Return the tables of how cost grows."""
    blocks = []
    for network, grown in record["scaling"].items():
        if network == "networks":
            rows = [
                [
                    f"{one['network']}@{one['size_px']}",
                    f"{(one['macs'] or 0) / 1e6:.0f}",
                    wording.size(one["bytes"]),
                    *(wording.milliseconds(one[f"{p}_ms"]["median_ms"]) for p in ("fp32", "int8")),
                ]
                for one in grown
            ]
            heads = ["network", "million MAC", "INT8 file", "FP32, ms", "INT8, ms"]
            blocks.append(f"### Cost by network and input size\n\n{table(heads, rows)}")
            continue
        blocks += _growth(network, grown)
    return "\n\n".join(blocks)


def _growth(network: str, grown: dict[str, Any]) -> Iterable[str]:
    if "images" in grown:
        rows = [
            [
                f"{one['images']:,}",
                f"{one['seconds']:.2f}",
                f"{one['images_per_second']:.0f}",
                wording.size(one["peak_bytes"]),
            ]
            for one in grown["images"]
        ]
        heads = ["images", "seconds", "images/s", "peak memory"]
        yield f"### {network}: one process, one core\n\n{table(heads, rows)}"
    if "resolution" in grown:
        rows = [
            [
                f"{one['size_px']}",
                wording.milliseconds(one["end_to_end_ms"]["median_ms"]),
                wording.milliseconds(one["grey_decode_ms"]["median_ms"]),
            ]
            for one in grown["resolution"]
        ]
        heads = ["side of the JPEG, px", "end to end, ms", "bare grey decode, ms"]
        yield f"### {network}: by resolution\n\n{table(heads, rows)}"
    if "threads" in grown:
        rows = [
            [f"{one['threads']}", wording.milliseconds(one["per_image_ms"]["median_ms"])]
            for one in grown["threads"]
        ]
        yield f"### {network}: by threads\n\n{table(['threads', 'ms per image'], rows)}"


def comparison_tables(compared: dict[str, Any]) -> str:
    """Return a comparison, ratios first."""
    base = compared["baseline"]
    lines = [f"### Against {base['revision'] or 'a baseline'} ({base['created']})", ""]
    if compared["refused"]:
        lines += [f"Absolute times are not compared: {compared['refused']}.", ""]
    heads = ["times as fast as PyTorch", "stage", "against", "before", "now", "change", ""]
    rows = [
        [
            one["row"],
            wording.STAGES[one["stage"]],
            one["against"],
            f"{one['before']:.3g}",
            f"{one['now']:.3g}",
            f"{100 * one['change']:+.1f} %",
            f"**{one['verdict']}**" if one["verdict"] in ("slower", "faster") else one["verdict"],
        ]
        for one in compared["ratios"]
    ]
    lines.append(table(heads, rows) if rows else "No ratio is in both records.")
    if compared["absolute"]:
        rows = [
            [
                one["row"],
                wording.STAGES[one["stage"]],
                f"{one['before_ms']:.3f}",
                f"{one['now_ms']:.3f}",
                f"{100 * one['change']:+.1f} %",
            ]
            for one in compared["absolute"]
        ]
        if compared["noisy"]:
            warning = "One of the two runs was too noisy to trust absolute times: read the ratios."
            lines += ["", warning]
        lines += ["", table(["same machine", "stage", "before, ms", "now, ms", "change"], rows)]
    for title, key in (("Only now", "only_now"), ("Only before", "only_before")):
        if compared[key]:
            lines += ["", f"{title}: {', '.join(compared[key])}."]
    return "\n".join(lines)
