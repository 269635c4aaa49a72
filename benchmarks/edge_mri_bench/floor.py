"""A floor under a ratio within one run, for CI: absolute times never fail a build, ratios may."""

from typing import Any

from edge_mri.progress import Progress
from edge_mri_bench.errors import FloorError
from edge_mri_bench.record import Record
from edge_mri_bench.results import REFERENCE
from edge_mri_bench.stages import END_TO_END


def require_floor(record: Record, floor: float, progress: Progress) -> None:
    """Raise `FloorError` where an INT8 file is surely below the floor, or was not measured.

    Surely: the whole interval is below, and so is the ratio of the shortest times, which other
    people's work lengthens least. An estimate below the floor without that is told, and passes: a
    noisy machine does not fail a build.

    Args:
        record: Of a run.
        floor: How many times as fast as eager MobileNetV2, end to end on one thread.
        progress: Told the outcome.
    """
    found: list[dict[str, Any]] = [
        one
        for one in record["ratios"]
        if one["row"].endswith("/ort-int8")
        and one["stage"] == END_TO_END
        and one["against"] == REFERENCE
    ]
    if not found:
        raise FloorError(
            f"no INT8 file was measured against {REFERENCE} (--backend ort-int8, pytorch)", floor
        )
    shortest = {
        row["row"]: row["stages"][END_TO_END]["min_ms"]
        for row in record["rows"]
        if END_TO_END in row["stages"]
    }
    for one in found:
        row, ratio = one["row"], one["ratio"]
        best = shortest[REFERENCE] / shortest[row]
        low, high = one["ci95"]
        if max(high, best) < floor:
            raise FloorError(
                f"{row} end to end: {ratio:.1f} times as fast (95 % interval {low:.1f} to "
                f"{high:.1f})",
                floor,
            )
        doubt = ""
        if ratio < floor:
            doubt = f" (interval {low:.1f} to {high:.1f}, the shortest times {best:.1f}: not sure)"
        progress.say(f"{row}: {ratio:.1f} times, floor {floor:g}: kept{doubt}.")
