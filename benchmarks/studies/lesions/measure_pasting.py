r"""Whether a model looks at the lesion: slices asked again with one pasted in, or covered.

    python benchmarks/studies/lesions/measure_pasting.py MODEL... --manifest RUN/split.csv

The slices and the lesions are those that the manifest gave to validation; a lesion is turned,
scaled and given another contrast, as in training (`edge_mri_train.augmentation.lesions`), so that a
model that was trained with pasting has the better of one that was not. Slices
with an outlined lesion are asked again with it covered by the image's own tissue, where some fits
(`edge_mri_train.augmentation.healing`). Source, contrast and frame stay what they were: a model
that reads those says the same of both pictures. Printed for each set, with n: how many slices are
called tumour without the lesion and with it, with Wilson's 95 % interval, and the AUROC of those
with it against the same without. Every image is answered.
"""

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.augmentation.healing import heal
from edge_mri_train.augmentation.lesions import LesionBank
from edge_mri_train.augmentation.view import View
from edge_mri_train.data.manifest import Row, read_manifest
from edge_mri_train.data.split import VAL
from edge_mri_train.evaluation.intervals import auroc, wilson
from edge_mri_train.evaluation.predictor import Predictor, open_predictor
from edge_mri_train.learning.slices import Slices

_BATCH = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Paste, ask, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+", help="checkpoints or ONNX files")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    report = {}
    for path in options.models:
        model = open_predictor(path)
        print(f"{path}: tumour from P(any tumour) = {model.tumor_threshold:.3g}")  # noqa: T201
        report[str(path)] = {}
        for kind, change in (("pasted", pasted), ("covered", covered)):
            sound, ill, sets = change(options.manifest, model.preprocess, options.seed)
            parts = measured(model, sound, ill, sets) if len(sets) else {}
            report[str(path)][kind] = parts
            for name, part in parts.items():
                print(line(name, kind, part))  # noqa: T201
        if not any(report[str(path)].values()):
            raise SystemExit(
                f"{options.manifest} gives validation no outlined lesion that fits a slice without "
                "a tumour, or can be covered; give the manifest of a run with an outlined set"
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def pasted(
    manifest: Path, spec: PreprocessSpec, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.str_]]:
    """Return `(N, 1, S, S)` uint8 slices without a tumour, the same with one, and their sets."""
    rows, slices = _validation(manifest, spec)
    bank = LesionBank(slices.pixels[:, 0], slices.masks)
    rng = np.random.default_rng(seed)
    views = {
        place: bank.paste(slices.view(place), rng)
        for place, label in enumerate(slices.labels)
        if label.type == LabelSpace().absent
    }
    changed = {place: view for place, view in views.items() if view.is_pasted}
    return _pairs(rows, slices, changed)


def covered(
    manifest: Path, spec: PreprocessSpec, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.str_]]:
    """Return `(N, 1, S, S)` uint8 slices whose lesion is covered, the same with it, their sets."""
    rows, slices = _validation(manifest, spec)
    rng = np.random.default_rng(seed)
    views = {place: heal(slices.view(place), rng) for place in range(len(rows))}
    changed = {place: view for place, view in views.items() if view.is_healed}
    original, made, names = _pairs(rows, slices, changed)
    return made, original, names


@cache
def _validation(manifest: Path, spec: PreprocessSpec) -> tuple[list[Row], Slices]:
    rows = [row for row in read_manifest(manifest) if row.sample.split == VAL]
    return rows, Slices.load([row.sample for row in rows], spec, "images", NoProgress())


def _pairs(
    rows: list[Row], slices: Slices, changed: dict[int, View]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.str_]]:
    """Return slices as they are, changed, and their sets."""
    places = list(changed)
    images = [np.round(view.image * 255).astype(np.uint8) for view in changed.values()]
    names = np.array([rows[place].sample.root.name for place in places], np.str_)
    size = slices.pixels.shape[1:]
    return slices.pixels[places], np.array(images, np.uint8).reshape(-1, *size), names


def measured(
    model: Predictor,
    sound: NDArray[np.uint8],
    ill: NDArray[np.uint8],
    sets: NDArray[np.str_],
) -> dict[str, dict[str, Any]]:
    """Return the figures of each set, and of all, of slices without a lesion and with it."""
    without, with_it = (tumor_scores(model, pixels) for pixels in (sound, ill))
    groups = {name: sets == name for name in sorted(set(sets.tolist()))}
    return {
        name: _figures(without[kept], with_it[kept], model.tumor_threshold)
        for name, kept in {**groups, "all": np.full(len(sets), True)}.items()
    }


def tumor_scores(model: Predictor, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `(N,)` P(any tumour)."""
    batches = [pixels[at : at + _BATCH] for at in range(0, len(pixels), _BATCH)]
    return np.concatenate([model.decide(model.answers(one), reject=False).tumor for one in batches])


def _figures(
    without: NDArray[np.float32], with_it: NDArray[np.float32], threshold: float
) -> dict[str, Any]:
    count = len(without)
    said = [int((scores >= threshold).sum()) for scores in (without, with_it)]
    return {
        "n": count,
        "without": said[0] / count,
        "without_ci95": wilson(said[0], count),
        "with": said[1] / count,
        "with_ci95": wilson(said[1], count),
        "auroc": auroc(np.arange(2 * count) >= count, np.concatenate([without, with_it])),
    }


def line(name: str, kind: str, part: dict[str, Any]) -> str:
    """Return a set's figures as a line of the table."""
    without, with_it = (
        f"{100 * part[one]:.1f} ({100 * part[f'{one}_ci95'][0]:.1f} to "
        f"{100 * part[f'{one}_ci95'][1]:.1f}) %"
        for one in ("without", "with")
    )
    return (
        f"  {kind:<8}{name:<14} n {part['n']}: called tumour {without} without the lesion, "
        f"{with_it} with it, AUROC {part['auroc']:.3f}"
    )


if __name__ == "__main__":
    main()
