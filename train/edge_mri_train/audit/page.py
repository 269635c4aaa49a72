"""The page of an audit: tables, and the found pairs side by side for a person to judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_mri.images import read_image
from edge_mri_train.audit.auditing import Audit
from edge_mri_train.audit.pairs import Pair
from edge_mri_train.pages import picture, write_page

_CONFLICTS = 60
_LEAKS = 60
_REPEATS = 24


def write_audit_page(audit: Audit, path: Path) -> None:
    """Write a self-contained HTML page."""
    write_page(
        "audit.html",
        path,
        title="Audit of labelled images",
        report=audit.report,
        conflicts=_pictured(audit.conflicts, _CONFLICTS),
        leaks=_pictured(audit.leaks, _LEAKS),
        repeats=_pictured(audit.repeats, _REPEATS),
        n_repeats=len(audit.repeats),
    )


def _pictured(pairs: Sequence[Pair], most: int) -> list[dict[str, Any]]:
    """Return up to `most` pairs, evenly over the list, with their pictures."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int))
    return [
        {
            "kind": pairs[row].kind,
            "score": pairs[row].score,
            "paths": [str(pairs[row].first.path), str(pairs[row].second.path)],
            "labels": [str(pairs[row].first.label), str(pairs[row].second.label)],
            "pictures": [
                picture(read_image(sample.file)) for sample in (pairs[row].first, pairs[row].second)
            ],
        }
        for row in chosen
    ]
