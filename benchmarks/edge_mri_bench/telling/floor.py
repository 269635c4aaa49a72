"""A floor under a ratio within one run, for CI: absolute times never fail a build, ratios may.

How high it is where nobody says so is a property of the CPU's kind: `cpu_kinds`.
"""

from typing import Any

from edge_mri_bench.errors import FloorError
from edge_mri_bench.figures.cpu_kinds import kind_of
from edge_mri_bench.figures.record import Record
from edge_mri_bench.figures.results import REFERENCE
from edge_mri_bench.figures.stages import END_TO_END

AUTO = "auto"


def judge_floor(record: Record, asked: float | str) -> dict[str, Any]:
    """Hold every INT8 file to the floor, as JSON values.

    A file fails where it is surely below: the whole interval is, and so is the ratio of the
    shortest times, which other people's work lengthens least. An estimate below the floor without
    that is told, and kept: a noisy machine does not fail a build. Nothing measured is not kept.

    Args:
        record: Of a run.
        asked: How many times as fast as eager MobileNetV2, end to end on one thread; `auto`: what
            the kind of the record's CPU can keep.

    Returns:
        `floor`; `reason`: why it is this high; `kept`; `lines`: the outcome for people.
    """
    kind = kind_of(record["machine"])
    floor = kind.floor if asked == AUTO else float(asked)
    reason = f"this CPU {kind.says}" if asked == AUTO else "as asked"
    shortest = {
        row["row"]: row["stages"][END_TO_END]["min_ms"]
        for row in record["rows"]
        if END_TO_END in row["stages"]
    }
    outcomes = [
        _outcome(one, floor, shortest[REFERENCE] / shortest[one["row"]])
        for one in record["ratios"]
        if one["row"].endswith("/ort-int8")
        and one["stage"] == END_TO_END
        and one["against"] == REFERENCE
    ]
    absent = (
        f"no INT8 file was measured against {REFERENCE}; "
        "it takes --backend ort-int8 and --backend pytorch"
    )
    return {
        "floor": floor,
        "reason": reason,
        "kept": bool(outcomes) and all(kept for kept, _ in outcomes),
        "lines": [line for _, line in outcomes] or [absent],
    }


def floor_text(judged: dict[str, Any]) -> str:
    """Return the outcome in a line."""
    return f"floor {judged['floor']:g} ({judged['reason']}): {'; '.join(judged['lines'])}"


def require_floor(judged: dict[str, Any]) -> None:
    """Raise `FloorError` where the floor is not kept."""
    if not judged["kept"]:
        raise FloorError(floor_text(judged))


def _outcome(one: dict[str, Any], floor: float, best: float) -> tuple[bool, str]:
    """Return whether one ratio keeps the floor, and a sentence; `best` is of the shortest times."""
    low, high = one["ci95"]
    kept = max(high, best) >= floor
    verdict = "kept" if kept else "below; measure once more on a quiet machine, then look for why"
    if kept and one["ratio"] < floor:
        verdict = "kept, since it is not sure"
    return kept, (
        f"{one['row']} is {one['ratio']:.1f} times as fast end to end ({low:.1f} to {high:.1f}, "
        f"{best:.1f} at the shortest times): {verdict}"
    )
