"""`edge-mri audit`: what is in labelled image sets, what repeats, what contradicts itself."""

from itertools import islice
from pathlib import Path
from typing import Any

import click

from edge_mri.commands.options import PLACE, path_option
from edge_mri.errors import OptionError
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.remote.url import Place
from edge_mri.storage.atomic import require_writable, write_json
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.audit.auditing import FINDINGS, AuditConfig, audit, findings
from edge_mri_train.audit.page import write_audit_page
from edge_mri_train.commands.options import id_options, layout_options
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.label_source import read_layout

FOUND = 1

_LISTED, _SHOWN = 10, 5


@click.command("audit")
@click.argument("data", nargs=-1, type=PLACE, metavar="[DIR]…")
@path_option(
    "--manifest",
    metavar="MANIFEST",
    help="Audit a manifest of `edge-mri split` instead of folders.",
)
@layout_options
@id_options
@path_option("--json", "json_file", help="Write all findings as JSON.")
@path_option(
    "--html",
    "html_file",
    help="Write one page with the pictures of duplicates and conflicts side by side.",
)
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(FINDINGS),
    help="Exit with 1 when this was found; may be given several times.",
)
@native_stderr_silenced()
def command(
    data: tuple[Place, ...],
    manifest: Path | None,
    labels: str | None,
    maps: tuple[str, ...],
    pattern: str | None,
    index: Path | None,
    groups: Path | None,
    group_pattern: str | None,
    json_file: Path | None,
    html_file: Path | None,
    fail_on: tuple[str, ...],
) -> None:
    """Audit labelled image sets: class folders, with or without split folders.

    Finds exact and near duplicates (re-encoded, resized, cropped, flipped, turned by 90 degrees,
    changed in contrast), contradicting labels, unusable files, and how far the classes can be
    told apart without looking at the tumour. DIR may be a URL such as s3://bucket/set, with the
    extra [cloud].

    Exit code: 0; 1 when --fail-on names what was found; 2 for a usage error.
    """
    if bool(data) == bool(manifest):
        raise OptionError("expected either folders or --manifest MANIFEST")
    if manifest and (labels or maps or pattern or index):
        raise OptionError(
            "a manifest holds the labels already; leave out --labels, --map, --pattern and --index"
        )
    progress = TerminalProgress()
    layout = read_layout(labels, data, maps, index, pattern, progress)
    config = AuditConfig(data, layout, manifest, IdSource(groups, group_pattern))
    for path in (json_file, html_file):
        if path is not None:
            require_writable(path)
    result = audit(config, progress)
    if json_file:
        write_json(result.report, json_file)
    if html_file:
        write_audit_page(result, html_file)
    show(_lines(result.report))
    found = findings(result.report)
    if failed := [f"{name} ({found[name]})" for name in fail_on if found[name]]:
        click.echo(f"Failed on {', '.join(failed)}.", err=True)
        raise SystemExit(FOUND)


def _lines(report: dict[str, Any]) -> list[str]:
    parts = (
        (f"{report['images']} images of {', '.join(report['sets'])}", *_left_out(report)),
        (*_breakdown(report), *_imbalance(report["imbalance"])),
        (*_files(report["files"]), *_warnings(report)),
        (
            *_groups(report),
            *_overlap("same pixels", report["overlap"]["exact"]),
            *_overlap("same pixels or near", report["overlap"]["near"]),
        ),
        (_leakage(report["leakage"]), *_conflicts(report), *_shortcut(report["shortcut"])),
    )
    return [line for lines in parts for line in (*lines, "")][:-1]


def _left_out(report: dict[str, Any]) -> list[str]:
    """Say at the top what the figures are not of."""
    lines = []
    if left := sum(report["unknown_folders"].values()):
        every = left + report["images"] + len(report["unreadable"])
        lines.append(
            f"WARNING: {left} of {every} images lie in folders that match no label, and nothing "
            "below is about them; --map FOLDER=LABEL says what they mean, --labels folders takes "
            "their names as the types"
        )
    if report["passed_over"]:
        counts = {kind or "no suffix": one["files"] for kind, one in report["passed_over"].items()}
        lines.append(f"WARNING: files that are no pictures were passed over: {_counts(counts)}")
    return lines


def _imbalance(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    (largest, most), (smallest, least) = found["largest"], found["smallest"]
    return [
        f"warning: imbalanced, {most} images of {largest} and {least} of {smallest}; "
        f"{found['remedy']}"
    ]


def _files(files: dict[str, Any]) -> list[str]:
    return [
        "formats: " + _counts(files["formats"]),
        "channels: " + _counts(files["channels"]),
        "bits: " + _counts(files["bit_depths"]),
        f"sizes: {files['sizes']}, the most common "
        + ", ".join(
            f"{one['width_px']} x {one['height_px']} ({one['images']})"
            for one in files["common_sizes"]
        ),
    ]


def _warnings(report: dict[str, Any]) -> list[str]:
    unknown, unreadable = report["unknown_folders"], report["unreadable"]
    lines = [
        f"warning: {folder} matches no label ({count} images); use --map"
        for folder, count in islice(unknown.items(), _LISTED)
    ]
    if len(unknown) > _LISTED:
        lines.append(f"warning: {len(unknown) - _LISTED} more folders match no label, see --json")
    if report["missing"]:
        lines.append(f"warning: {len(report['missing'])} files of the index are not there")
    lines += [f"unusable: {one['path']}: {one['reason']}" for one in unreadable[:_LISTED]]
    if len(unreadable) > _LISTED:
        lines.append(f"unusable: {len(unreadable) - _LISTED} more, see --json")
    return lines


def _groups(report: dict[str, Any]) -> list[str]:
    groups = report["groups"]
    return [
        f"unique images: {report['unique_images']}",
        f"groups: {groups['count']}, {groups['singletons']} of them single images, the largest "
        + ", ".join(str(size) for size in groups["largest"][:_SHOWN]),
    ]


def _leakage(leakage: dict[str, Any]) -> str:
    return (
        f"leakage: of {leakage['held_out']} held-out images {leakage['exact']} have the same "
        f"pixels outside their split, {leakage['near']} more a near duplicate, "
        f"{leakage['patients']} a patient or known group there"
    )


def _conflicts(report: dict[str, Any]) -> list[str]:
    return [
        f"contradicting labels: {len(report['conflicts'])} pairs",
        *(
            f"  {one['kind']}: {one['labels'][0]} {one['paths'][0]} / "
            f"{one['labels'][1]} {one['paths'][1]}"
            for one in report["conflicts"][:_SHOWN]
        ),
    ]


def _shortcut(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    telling = ", ".join(name for name, _ in found["telling"][:3])
    return [
        f"shortcut control: a plain classifier that never looks at the tumour reaches "
        f"{100 * found['balanced_accuracy']:.1f} % balanced accuracy (chance "
        f"{100 * found['chance']:.0f} %, n = {found['n']}), mostly by {telling}"
    ]


def _breakdown(report: dict[str, Any]) -> list[str]:
    rows = [
        (row["set"], row["split"] or "-", row["type"], row["plane"] or "-", str(row["images"]))
        for row in report["breakdown"]
    ]
    table = [("set", "split", "type", "plane", "images"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=False))
        + "  "
        + row[4].rjust(widths[4])
        for row in table
    ]


def _overlap(title: str, table: dict[str, dict[str, int]]) -> list[str]:
    lines = [f"{title}:"]
    for here, row in table.items():
        partners = [f"{count} in {there}" for there, count in row.items() if count]
        lines.append(f"  {here}: " + (", ".join(partners) or "none"))
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())
