"""The audit of labelled image sets: what is in them, what repeats, what contradicts itself.

Counts images and files that cannot be used; finds exact and near duplicates inside and across sets
and splits; lists contradicting labels; and lets a plain classifier try to solve the set without
looking at the tumour. The page that shows it is `edge_mri_train.audit_page`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_mri.errors import ImageError
from edge_mri.progress import Progress
from edge_mri_train.duplicates.neighbours import Neighbours
from edge_mri_train.duplicates.search import NEAR, RELATED, Duplicates, Kind, find_duplicates
from edge_mri_train.errors import NoUsableImagesError
from edge_mri_train.folders import Listing, Sample, list_folders
from edge_mri_train.grouping import IdSource, group_numbers
from edge_mri_train.layout import Layout
from edge_mri_train.manifest import DROPPED, check_manifest, read_manifest
from edge_mri_train.scan import ScannedFile, scan_files
from edge_mri_train.shortcuts import control_shortcuts
from edge_mri_train.split import TRAIN

FINDINGS = ("leakage", "conflicts", "unreadable")

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

    data: tuple[Path, ...]
    layout: Layout = field(default_factory=Layout)
    manifest: Path | None = None
    ids: IdSource = field(default_factory=IdSource)
    seed: int = 0


@dataclass(frozen=True)
class Pair:
    """Two images that are the same or nearly.

    Attributes:
        first: The one that comes first; in a leak, the one that is held out.
        second: The other.
        score: 1 for the same pixels, else the agreement of detail after registration.
        kind: `exact`, `near` or `related`.
    """

    first: Sample
    second: Sample
    score: float
    kind: str


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
    if not listing.samples:
        raise listing.refusal(config.data, config.layout)
    scans = scan_files([sample.file for sample in listing.samples], progress)
    usable = [
        (sample, scan)
        for sample, scan in zip(listing.samples, scans, strict=True)
        if isinstance(scan, ScannedFile)
    ]
    if not usable:
        reason = next(scan for scan in scans if isinstance(scan, ImageError))
        raise NoUsableImagesError(len(scans), listing.samples[0].file, reason)
    samples = [sample for sample, _ in usable]
    duplicates = find_duplicates([scan.fingerprint for _, scan in usable], progress)
    neighbours = Neighbours(duplicates)
    roots = list(dict.fromkeys(sample.root for sample in samples))
    names = set_names(roots)
    parts = [f"{names[sample.root]} {sample.split or 'all'}" for sample in samples]
    groups = group_numbers(samples, duplicates, config.ids)
    progress.say("trying a plain classifier on hand-made statistics")
    shortcut = control_shortcuts(
        np.stack([scan.statistics for _, scan in usable]),
        [sample.label.type for sample in samples],
        groups.tolist(),
        config.seed,
    )
    leaks = _leaks(samples, neighbours)
    conflicts = _conflicts(samples, neighbours)
    unreadable = [
        {"path": str(sample.file), "reason": str(scan)}
        for sample, scan in zip(listing.samples, scans, strict=True)
        if isinstance(scan, ImageError)
    ]
    sizes = np.bincount(groups)
    report = {
        "images": len(samples),
        "sets": list(names.values()),
        "breakdown": _breakdown(samples, names),
        "imbalance": _imbalance(samples),
        "files": _files([scan for _, scan in usable]),
        "unreadable": unreadable,
        "unknown_folders": {str(folder): count for folder, count in listing.unknown.items()},
        "missing": [str(path) for path in listing.missing],
        "overlap": {
            "exact": _overlap(parts, duplicates, ("exact",)),
            "near": _overlap(parts, duplicates, ("exact", "near")),
        },
        "unique_images": len({scan.fingerprint.pixel_hash for _, scan in usable}),
        "leakage": {
            "exact": sum(pair.kind == "exact" for pair in leaks),
            "near": sum(pair.kind != "exact" for pair in leaks),
            "patients": _divided_ids(samples, config.ids.ids(samples)),
            "held_out": sum(_is_held_out(sample) for sample in samples),
            "pairs": [_as_json(pair) for pair in leaks],
        },
        "conflicts": [_as_json(pair) for pair in conflicts],
        "duplicates": [
            _as_json(Pair(samples[edge.a], samples[edge.b], edge.score, edge.kind))
            for edge in duplicates.edges
        ],
        "groups": {
            "count": int(groups.max()) + 1,
            "singletons": int((sizes == 1).sum()),
            "largest": sorted(sizes.tolist(), reverse=True)[:_LARGEST_GROUPS],
        },
        "shortcut": asdict(shortcut) if shortcut else None,
        "operating_point": {"near": NEAR, "related": RELATED, "measured": _MEASURED},
    }
    return Audit(report, leaks, _repeats(samples, parts, duplicates), conflicts)


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
    }


def set_names(roots: Sequence[Path]) -> dict[Path, str]:
    """Return a short name for each set's folder, as long as it takes to tell them apart."""
    full = {root: root.resolve().parts for root in roots}
    length = 1
    while len({parts[-length:] for parts in full.values()}) < len(full) and length < 8:
        length += 1
    return {root: "/".join(parts[-length:]) for root, parts in full.items()}


def _breakdown(samples: Sequence[Sample], names: dict[Path, str]) -> list[dict[str, Any]]:
    counts = Counter(
        (names[one.root], one.split, one.label.type, one.label.plane) for one in samples
    )
    return [
        {"set": name, "split": split, "type": type_, "plane": plane, "images": count}
        for (name, split, type_, plane), count in sorted(counts.items(), key=str)
    ]


def _imbalance(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return the largest and smallest class where they are far apart, and the remedy."""
    counts = Counter(str(sample.label) for sample in samples if not _is_held_out(sample))
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


def _leaks(samples: Sequence[Sample], neighbours: Neighbours) -> list[Pair]:
    """Pair each held-out image with its best duplicate outside its own split."""
    leaks = []
    for position, sample in enumerate(samples):
        if not _is_held_out(sample):
            continue
        others = neighbours.of(position)
        partner = next((one for one in others if samples[one.position].split != sample.split), None)
        if partner is not None:
            leaks.append(Pair(sample, samples[partner.position], partner.score, partner.kind))
    return sorted(leaks, key=lambda pair: (pair.kind != "exact", -pair.score))


def _divided_ids(samples: Sequence[Sample], ids: Sequence[str | None]) -> int:
    """Count the held-out images whose patient, or other known group, is also in another split."""
    splits: dict[str, set[str | None]] = defaultdict(set)
    for sample, one in zip(samples, ids, strict=True):
        if one is not None and sample.split is not None:
            splits[one].add(sample.split)
    return sum(
        _is_held_out(sample) and one is not None and len(splits[one]) > 1
        for sample, one in zip(samples, ids, strict=True)
    )


def _is_held_out(sample: Sample) -> bool:
    return sample.split not in (None, TRAIN)


def _repeats(samples: Sequence[Sample], parts: Sequence[str], duplicates: Duplicates) -> list[Pair]:
    return [
        Pair(samples[edge.a], samples[edge.b], edge.score, edge.kind)
        for edge in duplicates.edges
        if edge.kind != "related" and parts[edge.a] == parts[edge.b]
    ]


def _conflicts(samples: Sequence[Sample], neighbours: Neighbours) -> list[Pair]:
    """Pair images whose labels contradict each other, one pair for each two labels of a group."""
    seen = set()
    found = []
    for position, sample in enumerate(samples):
        for one in neighbours.of(position):
            other = samples[one.position]
            key = (
                frozenset((neighbours.first(position), neighbours.first(one.position))),
                frozenset((sample.label, other.label)),
            )
            if one.position > position and _contradict(sample, other) and key not in seen:
                seen.add(key)
                found.append(Pair(sample, other, one.score, one.kind))
    return sorted(found, key=lambda pair: (pair.kind != "exact", -pair.score))


def _contradict(first: Sample, second: Sample) -> bool:
    one, other = first.label, second.label
    planes_differ = None not in (one.plane, other.plane) and one.plane != other.plane
    return one.type != other.type or planes_differ


def _as_json(pair: Pair) -> dict[str, Any]:
    return {
        "kind": pair.kind,
        "score": round(pair.score, 4),
        "paths": [str(pair.first.file), str(pair.second.file)],
        "labels": [str(pair.first.label), str(pair.second.label)],
    }
