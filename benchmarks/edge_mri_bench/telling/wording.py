"""Figures of a record in words: the same on the terminal, in Markdown and on the page."""

from typing import Any

from edge_mri_bench.figures.cpu_kinds import kind_of
from edge_mri_bench.figures.record import PARTIAL, Record
from edge_mri_bench.figures.stages import DECODE, END_TO_END, PREPROCESS, inference

STAGES = {
    DECODE: "decode",
    PREPROCESS: "preprocess",
    inference(1): "inference",
    inference(8): "inference, batch of 8",
    inference(32): "inference, batch of 32",
    END_TO_END: "end to end",
}

ACCURACIES = (
    "Compare accuracies only within one network: another network may have been trained on near "
    "duplicates of these images."
)


def size(value: int | None) -> str:
    """Return bytes as MB or GB; a dash for None."""
    if value is None:
        return "-"
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"


def milliseconds(value: float | None) -> str:
    """Return a time with three digits; a dash for None."""
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def share(measured: dict[str, Any] | None) -> str:
    """Return a share in percent with its interval and n; a dash for None."""
    if measured is None:
        return "-"
    low, high = (100 * end for end in measured["ci95"])
    return f"{100 * measured['share']:.2f} ({low:.1f} to {high:.1f}, n = {measured['n']:,})"


def ratio(measured: dict[str, Any] | None) -> str:
    """Return a ratio with its interval; a dash for None."""
    if measured is None:
        return "-"
    low, high = measured["ci95"]
    return f"{measured['ratio']:.3g} ({low:.3g} to {high:.3g})"


def goal_value(goal: dict[str, Any]) -> str:
    """Return what was measured against a goal, with its interval."""
    if goal["value"] is None:
        return "-"
    unit = "" if goal["unit"] == "x" else f" {goal['unit']}"
    text = f"{goal['value']:.3g}{unit}"
    if goal["ci95"]:
        text += f" ({goal['ci95'][0]:.3g} to {goal['ci95'][1]:.3g})"
    return text


def goal_target(goal: dict[str, Any]) -> str:
    """Return the limit of a goal."""
    unit = "" if goal["unit"] == "x" else f" {goal['unit']}"
    return f"{'at least' if goal['at_least'] else 'at most'} {goal['target']:g}{unit}"


def goal_verdict(goal: dict[str, Any]) -> str:
    """Return pass or miss, and whether the interval leaves doubt."""
    verdict: str = goal["verdict"]
    doubt = verdict != "not measured" and not goal["sure"]
    return f"{verdict}, within noise" if doubt else verdict


def against(record: Record, row: str, stage: str, other: str) -> dict[str, Any] | None:
    """Return the ratio of a row at a stage against another."""
    wanted = (row, stage, other)
    found = (
        one for one in record["ratios"] if (one["row"], one["stage"], one["against"]) == wanted
    )
    return next(found, None)


def machine_line(record: Record) -> str:
    """Return the machine in a line."""
    machine, settings = record["machine"], record["settings"]
    cores = settings.get("pinned_cores")
    pinned = f"pinned to core {', '.join(map(str, cores))}" if cores else "not pinned"
    guest = ", virtual" if machine["hypervisor"] else ""
    threads = settings["threads"]
    return (
        f"{machine['cpu']} ({machine['architecture']}{guest}; {machine['usable_cores']} of "
        f"{machine['cores']} cores usable; {', '.join(machine['features']) or 'no known features'})"
        f", {threads} thread{'s' if threads > 1 else ''}, {pinned}, governor "
        f"{machine['governor'] or 'not shown'}, quota {machine['quota'] or 'none'}"
    )


def limits_line(record: Record) -> str:
    """Return the physics of the machine: the bare decode, and the peak of its arithmetic."""
    limits = record["limits"]
    int8, fp32 = limits["int8_peak_gmacs"], limits.get("fp32_peak_gmacs")
    beside = ""
    if fp32:  # records of earlier versions lack it
        beside = f", {int8 / fp32:.1f} times FP32's {fp32:.0f}, and this CPU "
        beside += kind_of(record["machine"]).says
    return (
        f"The bare grey decode of these files takes {limits['grey_decode']['median_ms']:.3f} ms; "
        f"the core's INT8 peak is {int8:.0f} billion multiply-accumulates a second (dense "
        f"QLinearConv){beside}. Shares are of the shortest times."
    )


def warnings(record: Record) -> list[str]:
    """Return what must be known before any figure is believed."""
    found = []
    if record["status"] == PARTIAL:
        where = record["interrupted"] or "a phase that did not end"
        found.append(f"Partial record: it ended during {where}.")
    if record["noise"] and record["noise"]["noisy"]:
        found.append(record["noise"]["warning"])
    return found
