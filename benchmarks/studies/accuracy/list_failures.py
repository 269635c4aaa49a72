r"""The answers a model is surest of and wrong about, by path: what a failure gallery shows.

    python benchmarks/studies/accuracy/list_failures.py MODEL --data nickparvar/Testing \
        --json FILE.json

Paths, not pictures: the images are not ours to publish. What the model rejects is no answer and is
left out. Look at the files before blaming the model: labels are wrong too.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_mri.answers.prediction import Prediction
from edge_mri.classifier import Classifier
from edge_mri_train.data.folders import Sample, read_folders


def failures(model: Path, roots: Sequence[Path], count: int) -> dict[str, Any]:
    """Return how many images were answered and wrongly typed, and the surest `count` of those."""
    samples = read_folders(roots)
    predictions = list(Classifier.load(model, device="cpu").stream([one.file for one in samples]))
    answered = [
        (sample, prediction)
        for sample, prediction in zip(samples, predictions, strict=True)
        if prediction.status == "ok"
    ]
    wrong = [(one, said) for one, said in answered if said.type != one.label.type]
    wrong.sort(key=lambda pair: -_sureness(pair[1]))
    return {
        "answered": len(answered),
        "wrong": len(wrong),
        "surest": [_row(*pair) for pair in wrong[:count]],
    }


def _sureness(prediction: Prediction) -> float:
    probabilities, said = prediction.type_probabilities, prediction.type
    return 0.0 if probabilities is None or said is None else probabilities[said]


def _row(sample: Sample, said: Prediction) -> dict[str, Any]:
    return {
        "path": f"{'/'.join(sample.root.resolve().parts[-2:])}/{sample.path.as_posix()}",
        "label": sample.label.type,
        "said": said.type,
        "probability": round(_sureness(said), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write the list."""
    parser = argparse.ArgumentParser(description="List the surest wrong answers of a model.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True, help="class folders")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(arguments)
    found = failures(options.model, options.data, options.count)
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
