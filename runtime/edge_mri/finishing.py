"""What is made of a record and its image while both are there, such as a heatmap."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.prediction import Prediction
from edge_mri.images.prepared import Prepared
from edge_mri.process import memory

Finish = Callable[[Prediction, NDArray[np.uint8], NDArray[np.float32] | None], Prediction]
"""Takes a record, its image `(H, W)` uint8 and its `(h, w)` map; gives what takes its place."""


def finished(
    finish: Finish, record: Prediction, image: Prepared, cells: NDArray[np.float32] | None
) -> Prediction:
    """Finish a record; where memory runs out over that, it becomes an `error` record.

    Args:
        finish: What makes something of it.
        record: Of the image.
        image: With its pixels.
        cells: `(h, w)`, 0 to 1, over the network's input; None: the model has no map.
    """
    try:
        return finish(record, image.frame.at_full_size(), cells)
    except memory.ERRORS as error:
        reason = str(memory.ran_out(error, "draw"))
        failed = Prediction.failed(record.path, reason, record.present_key)
        return replace(failed, frame=record.frame, series=record.series, position=record.position)
