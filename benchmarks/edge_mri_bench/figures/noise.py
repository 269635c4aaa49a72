"""Whether the machine was quiet enough to tell: a fixed piece of work, timed in every round.

The work never changes, so its times say what the machine did: how much they spread, and how much
longer they took than the processor time they were given.
"""

import time
from typing import Any

import numpy as np

from edge_mri_bench.figures.statistics import Samples, summarise

SPREAD_LIMIT = 0.10
STOLEN_LIMIT = 0.05


class Reference:
    """The fixed piece of work; about a millisecond of sorting."""

    def __init__(self) -> None:
        self._numbers = np.random.default_rng(0).random(20_000)
        self._wall_s = 0.0
        self._processor_s = 0.0

    def __call__(self, _: int) -> None:
        """Do it once."""
        wall, processor = time.perf_counter(), time.thread_time()
        np.sort(self._numbers)
        self._processor_s += time.thread_time() - processor
        self._wall_s += time.perf_counter() - wall

    def verdict(self, samples_ms: Samples) -> dict[str, Any]:
        """Say how noisy it was, as JSON values.

        Args:
            samples_ms: `(rounds, calls)` times of this work.
        """
        spread = summarise(samples_ms).spread
        stolen = max(1 - self._processor_s / self._wall_s, 0.0) if self._wall_s else 0.0
        reasons = []
        if spread > SPREAD_LIMIT:
            reasons.append(
                f"the middle half of a fixed piece of work's times spread over "
                f"{100 * spread:.0f} % of their median (limit {100 * SPREAD_LIMIT:.0f} %)"
            )
        if stolen > STOLEN_LIMIT:
            reasons.append(
                f"{100 * stolen:.0f} % of its time went to somebody else "
                f"(limit {100 * STOLEN_LIMIT:.0f} %)"
            )
        return {
            "noisy": bool(reasons),
            "spread": round(spread, 4),
            "stolen": round(stolen, 4),
            "warning": f"Too noisy to trust absolute times: {'; '.join(reasons)}."
            if reasons
            else None,
        }
