"""What decoding JPEGs at half their size does to a model's answers, and what it saves.

    python benchmarks/studies/speed/measure_decoding.py MODEL --data DIR [--json FILE]

Every JPEG of a folder that `decode="reduced"` would touch (longer side at least twice the
network's, both sides even) is answered twice, decoded in full and reduced. Where the folder's names
are labels it also counts right types. The times are CPU milliseconds of decoding and preprocessing,
the median of rounds over some of the images, the ways in turn.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.images import ImageFiles, decode_frames
from edge_mri.images.prepared import Prepared
from edge_mri.images.preprocess import DECODES, PreprocessSpec
from edge_mri.labels import parse_folder_name
from edge_mri_train.evaluation.intervals import wilson

_BATCH = 32
_TIMED = 100
_ROUNDS = 11


def prepared(data: bytes, spec: PreprocessSpec) -> Prepared:
    """Turn a JPEG into network input."""
    return Prepared.of(next(decode_frames(data, reduce_to=spec.reduce_to)), spec)


def touched(files: Sequence[Path], spec: PreprocessSpec) -> list[Path]:
    """Return the files that come reduced."""
    reduced = []
    for file in files:
        frame = next(decode_frames(file.read_bytes(), reduce_to=spec.reduce_to))
        if frame.shrunk > 1:
            reduced.append(file)
    return reduced


def answered(
    classifier: Classifier, files: Sequence[Path], spec: PreprocessSpec
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return network inputs and `(N, T)` probabilities of types."""
    pixels = np.stack([prepared(file.read_bytes(), spec).pixels for file in files])
    starts = range(0, len(pixels), _BATCH)
    parts = [classifier.probabilities(pixels[start : start + _BATCH]) for start in starts]
    return pixels, classifier.contract.labels.type_probabilities(np.concatenate(parts))


def milliseconds(files: Sequence[Path], specs: Sequence[PreprocessSpec]) -> list[float]:
    """Return CPU milliseconds per image of each way."""
    cv2.setNumThreads(1)
    contents = [file.read_bytes() for file in files]
    taken: list[list[float]] = [[] for _ in specs]
    for _ in range(_ROUNDS):
        for times, spec in zip(taken, specs, strict=True):
            started = time.process_time()
            for data in contents:
                prepared(data, spec)
            times.append((time.process_time() - started) / len(contents) * 1000)
    return [float(np.median(times)) for times in taken]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    classifier = Classifier.load(options.model, device="cpu", reject=False)
    specs = [replace(classifier.contract.preprocess, decode=decode) for decode in DECODES]
    files = touched([file for file in ImageFiles([options.data]) if _is_jpeg(file)], specs[1])
    full, reduced = (answered(classifier, files, spec) for spec in specs)
    moved = np.abs(full[0].astype(int) - reduced[0]).reshape(len(files), -1).max(axis=1)
    changed = full[1].argmax(axis=1) != reduced[1].argmax(axis=1)
    largest = np.abs(full[1] - reduced[1]).max(axis=1)
    types = classifier.contract.labels.types
    labels = [parse_folder_name(file.parent.name) for file in files]
    known = np.array([label is not None for label in labels])
    truth = np.array([types.index(label.type) if label else -1 for label in labels])
    found: dict[str, Any] = {
        "model": f"{classifier.contract.name} {classifier.contract.precision}",
        "n": len(files),
        "inputs that move by more than 2 levels": int((moved > 2).sum()),
        "most levels": int(moved.max()),
        "types that change": int(changed.sum()),
        "types that change, 95 %": wilson(int(changed.sum()), len(files)),
        "median change of a probability": float(np.median(largest)),
        "99.9 % quantile of it": float(np.quantile(largest, 0.999)),
    }
    for name, (_, probabilities) in zip(DECODES, (full, reduced), strict=True):
        found[f"types right, {name}"] = int((probabilities.argmax(axis=1) == truth)[known].sum())
    times = milliseconds(files[:_TIMED], specs)
    found |= {f"CPU ms to input, {n}": round(t, 3) for n, t in zip(DECODES, times, strict=True)}
    for name, value in found.items():
        click.echo(f"{name:40} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _is_jpeg(file: Path) -> bool:
    return file.suffix.lower() in (".jpg", ".jpeg")


if __name__ == "__main__":
    main()
