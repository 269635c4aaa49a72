"""From samples to what a record says: ratios between backends, and the goals of each network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_mri_bench.backends.backends import EAGER
from edge_mri_bench.backends.networks import REFERENCE_NAME, REFERENCE_SIZE, Network
from edge_mri_bench.figures.goals import (
    COLD_IMPORTS,
    COLD_START,
    DECODES,
    OPENVINO,
    SPEEDUP,
    TWO_CORES,
    Goal,
    peak_goal,
)
from edge_mri_bench.figures.physics import GREY_DECODE, LIMIT
from edge_mri_bench.figures.stages import END_TO_END, inference
from edge_mri_bench.figures.statistics import Ratio, Samples, paired_ratio

REFERENCE = f"{REFERENCE_NAME}@{REFERENCE_SIZE}/{EAGER}"
IMPORTS = "imports"

Key = tuple[str, str]


@dataclass
class Measured:
    """The samples of a run, as far as it got.

    Attributes:
        stages: `(rounds, calls)` milliseconds by row and stage.
        folders: `(rounds, 1)` milliseconds per image by row and workers.
        starts: `(starts, 1)` milliseconds to the first answer by row, and of `imports`.
        peaks: Peak resident bytes by row, for one image.
        many: Images and peak resident bytes of the largest folder, by row.
    """

    stages: Mapping[Key, Samples] = field(default_factory=dict)
    folders: Mapping[tuple[str, int], Samples] = field(default_factory=dict)
    starts: Mapping[str, Samples] = field(default_factory=dict)
    peaks: dict[str, int | None] = field(default_factory=dict)
    many: dict[str, tuple[int, int | None]] = field(default_factory=dict)


def ratios(measured: Measured, rows: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return how many times as fast each backend is as eager PyTorch.

    Args:
        measured: The samples.
        rows: Each row and its network.

    Returns:
        For each row and stage one entry against its own network in eager PyTorch, and end to end
        one against the reference, as JSON values.
    """
    found = []
    for row, network in rows:
        for stage in (inference(1), inference(8), END_TO_END):
            against = [f"{network}/{EAGER}"] + ([REFERENCE] if stage == END_TO_END else [])
            for other in dict.fromkeys(against):
                ratio = _times_as_fast(measured.stages, (row, stage), (other, stage))
                if row != other and ratio is not None:
                    named = {"row": row, "stage": stage, "against": other}
                    found.append(named | ratio.to_dict())
    return found


def goals(measured: Measured, network: Network, cores: int) -> list[Goal]:
    """Hold a network's fastest own file to the runtime's goals.

    Args:
        measured: The samples.
        network: With an ONNX file.
        cores: Cores that may be used.
    """
    row = f"{network.id}/{'ort-int8' if network.int8 else 'ort-fp32'}"
    times, starts = measured.stages, measured.starts
    whole = (row, END_TO_END)
    absent = "not part of this run"
    speed = _times_as_fast(times, whole, (REFERENCE, END_TO_END))
    own = f"{network.id}/{EAGER}"
    same = _times_as_fast(times, whole, (own, END_TO_END))
    decodes = _times_as_fast(times, (LIMIT, GREY_DECODE), whole)
    two = None
    if (row, 1) in measured.folders and (row, 2) in measured.folders:
        two = paired_ratio(measured.folders[row, 1], measured.folders[row, 2])
    cold = _over(starts, row, REFERENCE)
    imports = _over(starts, row, IMPORTS)
    rival = _times_as_fast(
        times, (f"{network.id}/openvino-int8", inference(1)), (row, inference(1))
    )
    beside = ""
    if same is not None and own != REFERENCE:
        beside = f"; {same.value:.1f} times its own network at {network.size} px in eager PyTorch"
    return [
        Goal(
            f"end to end, times as fast as PIL + torchvision + eager MobileNetV2 at "
            f"{REFERENCE_SIZE} px",
            SPEEDUP,
            True,
            speed,
            _sides(times, (REFERENCE, END_TO_END), whole) + beside if speed else absent,
        ),
        Goal(
            "end to end, times the bare grey JPEG decode",
            DECODES,
            False,
            decodes,
            _sides(times, whole, (LIMIT, GREY_DECODE)) if decodes else absent,
        ),
        Goal(
            "two cores, times one core",
            TWO_CORES,
            True,
            two,
            f"{_median(measured.folders[row, 1]):.2f} against "
            f"{_median(measured.folders[row, 2]):.2f} ms per image"
            if two
            else f"{cores} core may be used"
            if cores < 2
            else absent,
        ),
        Goal(
            "cold start, share of PyTorch's",
            COLD_START,
            False,
            cold,
            _start_sides(starts, row, REFERENCE) if cold else absent,
        ),
        Goal(
            "cold start, times `import numpy, cv2, onnxruntime`",
            COLD_IMPORTS,
            False,
            imports,
            _start_sides(starts, row, IMPORTS) if imports else absent,
        ),
        *([peak_goal(1, measured.peaks[row])] if row in measured.peaks else []),
        *([peak_goal(*measured.many[row])] if row in measured.many else []),
        Goal(
            "inference alone, times OpenVINO's on the same INT8 file",
            OPENVINO,
            False,
            rival,
            _sides(times, (row, inference(1)), (f"{network.id}/openvino-int8", inference(1)))
            if rival
            else "OpenVINO did not run",
        ),
    ]


def _times_as_fast(times: Mapping[Key, Samples], fast: Key, slow: Key) -> Ratio | None:
    if fast not in times or slow not in times:
        return None
    return paired_ratio(times[slow], times[fast])


def _over(starts: Mapping[str, Samples], row: str, other: str) -> Ratio | None:
    if row not in starts or other not in starts:
        return None
    return paired_ratio(starts[row], starts[other])


def _sides(times: Mapping[Key, Samples], first: Key, second: Key) -> str:
    one, two = times[first], times[second]
    return (
        f"{_median(one):.2f} against {_median(two):.2f} ms; "
        f"at the shortest {one.min():.2f} against {two.min():.2f}"
    )


def _start_sides(starts: Mapping[str, Samples], row: str, other: str) -> str:
    return f"{_median(starts[row]) / 1e3:.2f} against {_median(starts[other]) / 1e3:.2f} s"


def _median(samples: Samples) -> float:
    return float(np.median(samples))
