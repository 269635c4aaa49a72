"""Two models on the same images: where they differ, and whether that can be chance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from edge_mri.labels import LabelSpace
from edge_mri_train.data.folders import Sample

_Answers = tuple[str, LabelSpace, NDArray[np.int64]]


def compare(first: _Answers, second: _Answers, samples: Sequence[Sample]) -> dict[str, Any]:
    """Compare two models' answers image by image.

    Args:
        first: Name, classes and `(N,)` columns of the answered types of the model that is
            measured, rejected images among them.
        second: The same of the model it is compared with.
        samples: The N images.

    Returns:
        JSON values: both names; agreement on the type; the images whose type flipped; what each
        type's sensitivity changed by, first less second; how many images only one of the two
        got right, and McNemar's exact p-value for that (McNemar 1947).
    """
    names = first[1].types
    answers = [
        np.array([space.types[column] for column in columns])
        for _, space, columns in (first, second)
    ]
    truth = np.array([sample.label.type or "" for sample in samples])
    right = [
        np.array([name in sample.label.types for name, sample in zip(one, samples, strict=True)])
        for one in answers
    ]
    only_first = int((right[0] & ~right[1]).sum())
    only_second = int((right[1] & ~right[0]).sum())
    differing = only_first + only_second
    flipped = np.flatnonzero(answers[0] != answers[1]).tolist()
    return {
        "first": first[0],
        "second": second[0],
        "n": len(samples),
        "agreement": float((answers[0] == answers[1]).mean()),
        "sensitivity_change": {
            name: float(right[0][truth == name].mean() - right[1][truth == name].mean())
            for name in names
            if (truth == name).any()
        },
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_p": binomtest(only_first, differing).pvalue if differing else 1.0,
        "flipped": [
            {
                "path": str(samples[row].file),
                "label": str(samples[row].label),
                "first": str(answers[0][row]),
                "second": str(answers[1][row]),
            }
            for row in flipped
        ],
    }
