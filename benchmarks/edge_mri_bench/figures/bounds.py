"""What bounds a backend: which step takes its time, and how far that is from the physics."""

from collections.abc import Mapping
from typing import Any

from edge_mri_bench.figures.stages import DECODE, END_TO_END, PREPROCESS, inference

_NEAR_PEAK = 0.5
_TOLD = 0.1
MISFIT = 1.1
"""Steps that take so many times as long as the whole say that the machine was too noisy."""


def shares(stages: Mapping[str, Mapping[str, Any]], figure: str = "median_ms") -> dict[str, float]:
    """Return the milliseconds of each step of one image, and what end to end takes beyond them.

    Args:
        stages: Summaries of the steps.
        figure: Which of their figures.
    """
    steps = {
        "decode": stages[DECODE][figure],
        "preprocess": stages[PREPROCESS][figure],
        "inference": stages[inference(1)][figure],
    }
    rest = max(stages[END_TO_END][figure] - sum(steps.values()), 0.0)
    return steps | {"rest": round(rest, 5)}


def explain(
    stages: Mapping[str, Mapping[str, Any]],
    macs: int | None,
    peak_gmacs: float | None,
    layers: Mapping[str, float] | None = None,
    precision: str = "int8",
) -> str:
    """Say in a sentence what bounds one image on one core, by the shortest times.

    Other people's work lengthens those least, and the peak is a shortest time too.

    Args:
        stages: Summaries of the backend's steps.
        macs: Multiply-accumulates of the network; None where not known.
        peak_gmacs: Billions of multiply-accumulates a second that the core reaches in the network's
            precision; None where there is no such kernel.
        layers: Shares of the kinds of layers in inference, the largest first; None: not profiled.
        precision: Of the network, and of that peak.
    """
    steps = shares(stages, "min_ms")
    whole = stages[END_TO_END]["min_ms"]
    if sum(steps.values()) > MISFIT * whole:
        return (
            f"too noisy to tell: its steps took {sum(steps.values()):.2f} ms one by one, and "
            f"{whole:.2f} together"
        )
    largest = max(steps, key=steps.__getitem__)
    share = steps[largest] / sum(steps.values())
    text = f"{largest} takes {100 * share:.0f} % of {sum(steps.values()):.2f} ms"
    if largest == "rest":
        return f"{text}: the file, the record, cold caches, or a busy machine; not measured apart"
    if largest != "inference":
        return text
    if layers:
        told = [f"{kind} {100 * one:.0f} %" for kind, one in layers.items() if one >= _TOLD]
        text += f" ({', '.join(told)} of its kernels' time)" if told else ""
    if macs is None or peak_gmacs is None:
        return text
    floor = macs / (peak_gmacs * 1e6)
    reached = floor / steps["inference"]
    kind = "arithmetic" if reached >= _NEAR_PEAK else "something else than arithmetic"
    return (
        f"{text}; {macs / 1e6:.0f} million multiplications need {floor:.2f} ms at this core's "
        f"{precision.upper()} peak, {100 * reached:.0f} % of it is reached: bound by {kind}"
    )
