"""Whether a run begins with its last layers alone, and whether anything else trains after them.

A trunk that knew other classes is worth more than a random head: the head is fitted to it first
(`edge_mri_train.learning.last_layers`), then all trains. Of a handful of images the head is all
that can be learned.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from edge_mri.errors import listed
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import Progress
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.split import TRAIN
from edge_mri_train.settings.config import TrainConfig

FEW = 5
"""Training images of the rarest type below which only the last layers are fitted (record 0068)."""


def with_frozen_trunk(
    config: TrainConfig,
    samples: Sequence[Sample],
    space: LabelSpace,
    start: LabelSpace | None,
    progress: Progress,
) -> TrainConfig:
    """Return the configuration with `auto` replaced by what it comes to, and say that.

    Args:
        config: A run's.
        samples: Its images, on their sides.
        space: Of their labels.
        start: What the starting weights' network answers; None where that is not known.
        progress: Where to say it.
    """
    chosen = config.frozen_trunk
    counts = Counter(one.label.type for one in samples if one.split == TRAIN)
    fewest = min(counts[name] for name in space.types)
    if chosen == "auto":
        if start is None or start.types == space.types:
            return replace(config, frozen_trunk="no")
        chosen = "always" if fewest < FEW else "first"
        progress.say(
            f"The starting weights tell apart {listed(start.types)}; the rarest of the types here "
            f"has {fewest} training images."
        )
    if chosen != "no":
        progress.say(
            "Only the last layers are fitted, to the trunk as it is (--frozen-trunk first trains "
            "the trunk too)."
            if chosen == "always"
            else "The last layers are fitted to the trunk as it is; then everything trains."
        )
    return replace(config, frozen_trunk=chosen)
