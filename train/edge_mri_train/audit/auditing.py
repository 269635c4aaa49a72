"""The audit of labelled image sets: what is in them, what repeats, what contradicts itself.

Counts images and files that cannot be used; finds exact and near duplicates inside and across sets
and splits; lists contradicting labels; and lets a plain classifier try to solve the set without
looking at the tumour. What pairs mean is `edge_mri_train.audit.pairs`, the page that shows it all
`edge_mri_train.audit.page`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ImageError
from edge_mri.labels.space import JOINER
from edge_mri.remote.url import Place
from edge_mri.terminal.progress import Progress
from edge_mri_train.audit.pairs import Pair, all_pairs, conflicts, is_held_out, leaks, repeats
from edge_mri_train.audit.shortcuts import control_shortcuts
from edge_mri_train.data.folders import Listing, Sample, list_folders
from edge_mri_train.data.grouping import IdSource, group_numbers
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.manifest import DROPPED, check_manifest, read_manifest
from edge_mri_train.data.scan import ScannedFile, scan_files
from edge_mri_train.duplicates.neighbours import Neighbours
from edge_mri_train.duplicates.search import NEAR, RELATED, Duplicates, Kind, find_duplicates
from edge_mri_train.errors import NoUsableImagesError

FINDINGS = ("leakage", "conflicts", "unreadable", "passed-over", "unknown-folders", "missing")

_IMBALANCE = 3.0  # the largest class to the smallest, from which on a remedy is named
_COMMON_SIZES = 5
_LARGEST_GROUPS = 10
_MEASURED = (
    "Measured on pairs of known truth (docs/decisions/0005): none of 21,221 candidate pairs of "
    "different patients counts as near (95 % upper bound 0.015 %); of edited copies are found: "
    "mirrored or turned by 90 degrees 100 %, JPEG quality 50 or more 100 %, resized 98 to 100 %, "
    "frame cut by 10 % a side 98 %, head cut by 10 % a side 94 %, gamma 0.5 to 2 88 to 100 %, "
    "several of these at once 76 to 99 %, histogram equalised 43 %."
)


@dataclass(frozen=True)
class AuditConfig:
    """What an audit is told.

    Attributes:
        data: The sets' folders; empty with a manifest.
        layout: Further folder names, or an index.
        manifest: What `edge-mri split` wrote: its images on their sides.
        ids: Where patients or other groups are known from.
        seed: Of the shortcut control.
    """

    data: tuple[Place, ...]
    layout: Layout = field(default_factory=Layout)
    manifest: Path | None = None
    ids: IdSource = field(default_factory=IdSource)
    seed: int = 0


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        report: All counts and lists, as JSON values.
        leaks: For each held-out image (of a test or validation folder, or of a fold) that also
            stands outside its split, its best partner there.
        repeats: Pairs inside one part of a set.
        conflicts: Pairs whose labels contradict each other.
    """

    report: dict[str, Any]
    leaks: list[Pair]
    repeats: list[Pair]
    conflicts: list[Pair]


def audit(config: AuditConfig, progress: Progress) -> Audit:
    """Audit labelled image sets.

    Raises:
        FolderNotFoundError: A set's folder is not there.
        NoImagesError: There is no image at all.
        UnknownClassError: No image lies in a folder whose name matches a label.
        IndexFileError: None of the files of the index is there.
        NoUsableImagesError: No labelled image could be read.
    """
    listing = _listing(config, progress)
    if len(listing.passed_over):
        progress.say(f"Warning: {listing.passed_over}.")
    if not listing.samples:
        raise listing.refusal(config.data, config.layout)
    scans = scan_files([sample.file for sample in listing.samples], progress)
    scanned = list(zip(listing.samples, scans, strict=True))
    usable = [(sample, scan) for sample, scan in scanned if isinstance(scan, ScannedFile)]
    faulty = [(sample, scan) for sample, scan in scanned if isinstance(scan, ImageError)]
    if not usable:
        raise NoUsableImagesError(len(scans), faulty[0][0].file, faulty[0][1])
    samples = [sample for sample, _ in usable]
    duplicates = find_duplicates([scan.fingerprint for _, scan in usable], progress)
    neighbours = Neighbours(duplicates)
    names = set_names(list(dict.fromkeys(sample.root for sample in samples)))
    parts = [f"{names[sample.root]} {sample.split or 'all'}" for sample in samples]
    groups = group_numbers(samples, duplicates, config.ids)
    progress.say("trying a plain classifier on hand-made statistics")
    shortcut = control_shortcuts(
        np.stack([scan.statistics for _, scan in usable]),
        [JOINER.join(sample.label.types) for sample in samples],
        groups.tolist(),
        config.seed,
    )
    leaked = leaks(samples, neighbours)
    contradicting = conflicts(samples, neighbours)
    report = {
        "images": len(samples),
        "sets": list(names.values()),
        "breakdown": _breakdown(samples, names),
        "imbalance": _imbalance(samples),
        "files": _files([scan for _, scan in usable]),
        "unreadable": [
            {"path": str(sample.file), "reason": str(error)} for sample, error in faulty
        ],
        "unknown_folders": {str(folder): count for folder, count in listing.unknown.items()},
        "missing": [str(path) for path in listing.missing],
        "passed_over": listing.passed_over.to_dict(),
        "overlap": {
            "exact": _overlap(parts, duplicates, ("exact",)),
            "near": _overlap(parts, duplicates, ("exact", "near")),
        },
        "unique_images": len({scan.fingerprint.pixel_hash for _, scan in usable}),
        "leakage": _leakage(samples, leaked, config.ids),
        "conflicts": [pair.to_dict() for pair in contradicting],
        "duplicates": [pair.to_dict() for pair in all_pairs(samples, duplicates)],
        "groups": _groups(groups),
        "shortcut": asdict(shortcut) if shortcut else None,
        "operating_point": {"near": NEAR, "related": RELATED, "measured": _MEASURED},
    }
    return Audit(report, leaked, repeats(samples, parts, duplicates), contradicting)


def _listing(config: AuditConfig, progress: Progress) -> Listing:
    if config.manifest is None:
        return list_folders(config.data, config.layout)
    rows = read_manifest(config.manifest)
    check_manifest(config.manifest, rows, progress)
    return Listing([row.sample for row in rows if row.sample.split != DROPPED], {}, [])


def findings(report: dict[str, Any]) -> dict[str, int]:
    """Return how many of each of `FINDINGS` an audit's report holds."""
    leakage = report["leakage"]
    return {
        "leakage": leakage["exact"] + leakage["near"] + leakage["patients"],
        "conflicts": len(report["conflicts"]),
        "unreadable": len(report["unreadable"]),
        "passed-over": sum(one["files"] for one in report["passed_over"].values()),
        "unknown-folders": sum(report["unknown_folders"].values()),
        "missing": len(report["missing"]),
    }


def set_names(roots: Sequence[Place]) -> dict[Place, str]:
    """Return a short name for each set's folder, as long as it takes to tell them apart."""
    full = {root: root.resolve().parts for root in roots}
    length = 1
    while len({parts[-length:] for parts in full.values()}) < len(full) and length < 8:
        length += 1
    return {root: "/".join(parts[-length:]) for root, parts in full.items()}


def _breakdown(samples: Sequence[Sample], names: dict[Place, str]) -> list[dict[str, Any]]:
    counts = Counter(
        (names[one.root], one.split, JOINER.join(one.label.types), one.label.plane)
        for one in samples
    )
    return [
        {"set": name, "split": split, "type": type_, "plane": plane, "images": count}
        for (name, split, type_, plane), count in sorted(counts.items(), key=str)
    ]


def _imbalance(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return the largest and smallest class where they are far apart, and the remedy."""
    counts = Counter(str(sample.label) for sample in samples if not is_held_out(sample))
    if len(counts) < 2:
        return None
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if most < _IMBALANCE * least:
        return None
    return {
        "largest": [largest, most],
        "smallest": [smallest, least],
        "remedy": "train with --class-weights balanced or --sampler weighted, and judge by "
        "balanced accuracy",
    }


def _files(scans: Sequence[ScannedFile]) -> dict[str, Any]:
    facts = [scan.facts for scan in scans]
    sizes = Counter((one.width_px, one.height_px) for one in facts)
    return {
        "formats": dict(Counter(one.format for one in facts)),
        "channels": dict(Counter(str(one.channels) for one in facts)),
        "bit_depths": dict(Counter(str(one.bit_depth) for one in facts)),
        "sizes": len(sizes),
        "common_sizes": [
            {"width_px": width, "height_px": height, "images": count}
            for (width, height), count in sizes.most_common(_COMMON_SIZES)
        ],
    }


def _overlap(
    parts: Sequence[str], duplicates: Duplicates, kinds: Sequence[Kind]
) -> dict[str, dict[str, int]]:
    """Return how many images of each part have a duplicate in each part."""
    names = sorted(set(parts))
    member = {name: np.array([part == name for part in parts]) for name in names}
    touching = {name: duplicates.touching(member[name], kinds) for name in names}
    return {
        here: {there: int(touching[there][member[here]].sum()) for there in names} for here in names
    }


def _leakage(samples: Sequence[Sample], leaked: Sequence[Pair], ids: IdSource) -> dict[str, Any]:
    return {
        "exact": sum(pair.kind == "exact" for pair in leaked),
        "near": sum(pair.kind != "exact" for pair in leaked),
        "patients": _divided_ids(samples, ids.ids(samples)),
        "held_out": sum(is_held_out(sample) for sample in samples),
        "pairs": [pair.to_dict() for pair in leaked],
    }


def _groups(numbers: NDArray[np.int64]) -> dict[str, Any]:
    sizes = np.bincount(numbers)
    return {
        "count": len(sizes),
        "singletons": int((sizes == 1).sum()),
        "largest": sorted(sizes.tolist(), reverse=True)[:_LARGEST_GROUPS],
    }


def _divided_ids(samples: Sequence[Sample], ids: Sequence[str | None]) -> int:
    """Count the held-out images whose patient, or other known group, is also in another split."""
    splits: dict[str, set[str | None]] = defaultdict(set)
    for sample, one in zip(samples, ids, strict=True):
        if one is not None and sample.split is not None:
            splits[one].add(sample.split)
    return sum(
        is_held_out(sample) and one is not None and len(splits[one]) > 1
        for sample, one in zip(samples, ids, strict=True)
    )
