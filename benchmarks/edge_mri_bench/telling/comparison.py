"""Two records side by side: ratios always, absolute times only where they mean the same."""

from typing import Any

from edge_mri_bench.figures.record import PARTIAL, Record
from edge_mri_bench.figures.stages import END_TO_END, inference

CHANGE = 0.10
"""A smaller change of a ratio is called the same, whatever its interval."""

_STAGES = (inference(1), END_TO_END)


def compare(record: Record, baseline: Record) -> dict[str, Any]:
    """Compare a record with an earlier one, as JSON values.

    Returns:
        `refused`: why absolute times are not compared, None where they are; `absolute`: medians
        of the same row and stage; `ratios`: how many times as fast as PyTorch, each within its own
        run, `same` where the change is less than `CHANGE`, `unclear` where it is more and the
        intervals meet, else `slower` or `faster`; `only_now`, `only_before`: rows without a
        partner.
    """
    now, before = _rows(record), _rows(baseline)
    refused = _refusal(record, baseline)
    return {
        "baseline": {
            "revision": baseline.get("revision"),
            "created": baseline.get("created"),
            "status": baseline.get("status"),
            "cpu": baseline["machine"].get("cpu"),
        },
        "refused": refused,
        "noisy": any((one.get("noise") or {}).get("noisy") for one in (record, baseline)),
        "absolute": [] if refused else _absolute(now, before),
        "ratios": _ratios(record, baseline),
        "only_now": sorted(now.keys() - before.keys()),
        "only_before": sorted(before.keys() - now.keys()),
    }


def _rows(record: Record) -> dict[str, dict[str, Any]]:
    return {row["row"]: row for row in record["rows"]}


def _refusal(record: Record, baseline: Record) -> str | None:
    ours, theirs = record["machine"], baseline["machine"]
    if ours.get("fingerprint") != theirs.get("fingerprint"):
        return (
            f"the baseline is from another machine ({theirs.get('cpu')}, "
            f"{theirs.get('usable_cores')} cores; here {ours.get('cpu')}, "
            f"{ours.get('usable_cores')} cores)"
        )
    if record["images"]["sha256"] != baseline.get("images", {}).get("sha256"):
        return "the baseline timed other images"
    if record["settings"]["threads"] != baseline["settings"].get("threads"):
        return "the baseline ran on another number of threads"
    if PARTIAL in (record["status"], baseline.get("status")):
        return "one of the records is partial"
    return None


def _absolute(now: dict[str, Any], before: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for row in now:
        for stage in _STAGES:
            times = [one.get(row, {}).get("stages", {}).get(stage) for one in (before, now)]
            if all(times):
                old, new = (one["median_ms"] for one in times)
                found.append(
                    {
                        "row": row,
                        "stage": stage,
                        "before_ms": old,
                        "now_ms": new,
                        "change": new / old - 1,
                    }
                )
    return found


def _ratios(record: Record, baseline: Record) -> list[dict[str, Any]]:
    def keyed(one: Record) -> dict[tuple[str, ...], dict[str, Any]]:
        return {(r["row"], r["stage"], r["against"]): r for r in one["ratios"]}

    now, before = keyed(record), keyed(baseline)
    found = []
    for key in now.keys() & before.keys():
        old, new = before[key], now[key]
        change = new["ratio"] / old["ratio"] - 1
        apart = new["ci95"][0] > old["ci95"][1] or new["ci95"][1] < old["ci95"][0]
        found.append(
            {
                "row": key[0],
                "stage": key[1],
                "against": key[2],
                "before": old["ratio"],
                "before_ci95": old["ci95"],
                "now": new["ratio"],
                "now_ci95": new["ci95"],
                "change": change,
                "verdict": _verdict(change, apart=apart),
            }
        )
    order = ["slower", "faster", "unclear", "same"]
    return sorted(found, key=lambda one: (order.index(one["verdict"]), one["row"], one["stage"]))


def _verdict(change: float, *, apart: bool) -> str:
    if abs(change) < CHANGE:
        return "same"
    if not apart:
        return "unclear"
    return "faster" if change > 0 else "slower"
