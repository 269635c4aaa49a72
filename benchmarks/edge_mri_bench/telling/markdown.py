"""A record as Markdown: for a job summary, a terminal, or between two marks of a document."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_mri.errors import OutputError
from edge_mri.storage.atomic import atomic_path
from edge_mri_bench.backends.backends import EAGER
from edge_mri_bench.figures.record import Record
from edge_mri_bench.figures.results import REFERENCE
from edge_mri_bench.figures.stages import DECODE, END_TO_END, PREPROCESS, inference
from edge_mri_bench.telling import wording
from edge_mri_bench.telling.floor import floor_text
from edge_mri_bench.telling.tables import comparison_tables, growth_tables, table

START = "<!-- benchmark: start -->"
END = "<!-- benchmark: end -->"

_GOALS = (
    "*Within noise*: the 95 % interval contains the limit. *At the shortest*: the shortest time of "
    "each side."
)
_BACKENDS = (
    "From the path of an image to its answer, one image after another. *Spread* is the "
    f"interquartile range in percent of the median. **{wording.ACCURACIES}**"
)
_STEPS = (
    "Batches and folders, too, are in milliseconds per image. Each worker has a core of its own."
)
_RESOURCES = (
    "*Session*: opening the model in a running process. *Cold start*: a new process until its "
    "first line of output. *Peak memory*: of that process. *Installed*: the packages on disk."
)
_BOUND = (
    "For each backend, the step that takes most of the time. For inference also the share of the "
    "core's peak that it reaches, where that is known."
)


def write_markdown(text: str, path: Path) -> None:
    """Write Markdown; a file with the two marks keeps what is outside them."""
    before = after = ""
    if path.is_file():
        try:
            existing = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError(path, f"it cannot be read to keep what is in it: {error}") from error
        if START in existing and END in existing:
            before = existing[: existing.index(START) + len(START)] + "\n"
            after = existing[existing.index(END) :]
    with atomic_path(path) as temporary:
        temporary.write_text(before + text + after, encoding="utf-8")


def markdown(record: Record, compared: dict[str, Any] | None = None) -> str:
    """Return a record, and a comparison where there is one, as Markdown."""
    blocks = [_head(record)]
    for network, goals in record["goals"].items():
        blocks.append(f"### Goals: {network}\n\n{_GOALS}\n\n{_goals(goals)}")
    if any(row["stages"] for row in record["rows"]):
        blocks += [
            f"### Backends\n\n{_BACKENDS}\n\n{_backends(record)}",
            f"### Steps, median milliseconds of one image\n\n{_STEPS}\n\n{_steps(record)}",
            f"### Starts, memory, disk\n\n{_RESOURCES}\n\n{_resources(record)}",
            f"### What bounds them\n\n{_bounds(record)}",
        ]
    blocks += [
        growth_tables(record),
        *([comparison_tables(compared)] if compared else []),
        _left_out(record),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(record: Record) -> str:
    images = record["images"]
    sizes = ", ".join(images["sizes"])
    named = {key: value for key, value in record["versions"].items() if value}
    lines = [
        *(f"**{warning}**\n" for warning in wording.warnings(record)),
        f"- Machine: {wording.machine_line(record)}",
        f"- Images: {images['n']} {images['source']} ({sizes}; {images['mean_bytes'] / 1e3:.0f} kB "
        f"on average); {images['labelled']:,} labelled",
        f"- Effort `{record['settings']['effort']}`: {record['settings']['rounds']} rounds of "
        f"{record['settings']['calls']} calls; revision {record['revision'] or 'unknown'}, "
        f"{record['created']}",
        f"- Versions: {', '.join(f'{key} {value}' for key, value in named.items())}",
        *([f"- Held to the {floor_text(record['floor'])}"] if record.get("floor") else []),
    ]
    return "\n".join(lines)


def _goals(goals: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            goal["goal"],
            wording.goal_target(goal),
            goal["measured"],
            wording.goal_value(goal),
            _verdict(goal),
        ]
        for goal in goals
    ]
    return table(["goal", "limit", "measured", "ratio or value (95 % interval)", ""], rows)


def _verdict(goal: dict[str, Any]) -> str:
    verdict = wording.goal_verdict(goal)
    return f"**{verdict}**" if goal["verdict"] == "miss" else verdict


def _backends(record: Record) -> str:
    rows = []
    for row in record["rows"]:
        whole = row["stages"].get(END_TO_END)
        if whole is None:
            continue
        own = f"{row['network']}/{EAGER}"
        score = row["accuracy"] and row["accuracy"]["type"]
        rows.append(
            [
                f"{row['network']} {row['label']}",
                *(f"{whole[key]:.2f}" for key in ("min_ms", "median_ms", "p95_ms", "p99_ms")),
                f"{100 * whole['spread']:.0f} %",
                wording.ratio(wording.against(record, row["row"], END_TO_END, own)),
                wording.ratio(wording.against(record, row["row"], END_TO_END, REFERENCE)),
                wording.share(score),
                wording.share(row["agreement"]),
            ]
        )
    heads = ["end to end, ms", "min", "median", "p95", "p99", "spread"]
    heads += ["times as fast as its own eager PyTorch", f"times as fast as {REFERENCE}"]
    heads += ["type accuracy %", "same type as PyTorch %"]
    return table(heads, rows)


def _steps(record: Record) -> str:
    stages = [DECODE, PREPROCESS, inference(1), inference(8), inference(32), END_TO_END]
    used = [one for one in stages if any(one in row["stages"] for row in record["rows"])]
    rows = []
    for row in record["rows"]:
        cells = []
        for stage in used:
            found = row["stages"].get(stage)
            images = int(stage.rpartition("_")[2]) if stage.startswith("inference") else 1
            cells.append(wording.milliseconds(found and found["median_ms"] / images))
        folder = [
            wording.milliseconds(row["folder"].get(count, {}).get("median_ms"))
            for count in ("1", "2")
        ]
        rows.append([row["row"], *cells, *folder])
    heads = ["", *(wording.STAGES[stage] for stage in used), "folder, 1 worker", "2 workers"]
    return table(heads, rows)


def _resources(record: Record) -> str:
    rows = []
    for row in record["rows"]:
        start = row["start_ms"]
        joule = row["images_per_joule"]
        rows.append(
            [
                row["row"],
                wording.milliseconds(row["session_ms"]["median_ms"]),
                "-" if start is None else f"{start['median_ms'] / 1e3:.2f}",
                wording.size(row["peak_bytes"]),
                wording.size(row["model_bytes"]),
                wording.size(row["environment_bytes"]),
                "-" if joule is None else f"{joule:.0f}",
            ]
        )
    heads = ["", "session, ms", "cold start, s", "peak memory", "model", "installed"]
    return table([*heads, "images per joule"], rows)


def _bounds(record: Record) -> str:
    lines = [
        f"- {row['row']}: {row['bound']}" + (f" ({row['note']})" if row["note"] else "")
        for row in record["rows"]
        if row["bound"]
    ]
    return f"{_BOUND} {wording.limits_line(record)}\n\n" + "\n".join(lines)


def _left_out(record: Record) -> str:
    lines = [f"- {one}" for one in record["left_out"]]
    lines += [f"- {one['network']} {one['backend']}: {one['reason']}" for one in record["skipped"]]
    return "### Left out\n\n" + "\n".join(lines) if lines else ""
