"""The runtime's goals as a table: goal, measured, ratio, pass or miss.

Every time is a ratio of two things measured in the same run.
"""

from dataclasses import dataclass
from typing import Any, Literal

from edge_mri_bench.figures.statistics import Ratio

SPEEDUP = 25.0
DECODES = 2.5
TWO_CORES = 1.9
COLD_START = 0.1
COLD_IMPORTS = 2.5
PEAK_BYTES = 100e6
OPENVINO = 1.0

Verdict = Literal["pass", "miss", "not measured"]


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    Attributes:
        goal: What is wanted.
        target: The limit.
        at_least: Whether more is better.
        ratio: What was measured: a value, or a ratio with an interval; None: it was not.
        measured: The two sides in words; or why it was not measured.
        unit: Of the value.
    """

    goal: str
    target: float
    at_least: bool
    ratio: Ratio | float | None
    measured: str
    unit: str = "x"

    @property
    def verdict(self) -> Verdict:
        """Whether the estimate meets the target."""
        if self.ratio is None:
            return "not measured"
        value = self.ratio.value if isinstance(self.ratio, Ratio) else self.ratio
        return "pass" if (value >= self.target) == self.at_least or value == self.target else "miss"

    @property
    def sure(self) -> bool:
        """Whether the whole interval, of more than one round, lies on one side of the target."""
        if not isinstance(self.ratio, Ratio):
            return self.ratio is not None
        return self.ratio.rounds > 1 and not self.ratio.low < self.target < self.ratio.high

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        interval = isinstance(self.ratio, Ratio)
        return {
            "goal": self.goal,
            "target": self.target,
            "at_least": self.at_least,
            "unit": self.unit,
            "value": self.ratio.value if isinstance(self.ratio, Ratio) else self.ratio,
            "ci95": [self.ratio.low, self.ratio.high] if isinstance(self.ratio, Ratio) else None,
            "measured": self.measured,
            "verdict": self.verdict,
            "sure": self.sure if interval else self.verdict != "not measured",
        }


def peak_goal(images: int, peak_bytes: int | None) -> Goal:
    """Return the goal of memory, for a number of images."""
    return Goal(
        goal=f"peak memory of `edge-mri infer`, {images:,} image{'s' if images > 1 else ''}",
        target=PEAK_BYTES / 1e6,
        at_least=False,
        ratio=None if peak_bytes is None else peak_bytes / 1e6,
        measured="not told by this system"
        if peak_bytes is None
        else f"{peak_bytes / 1e6:.1f} MB resident",
        unit="MB",
    )
