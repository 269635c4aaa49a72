r"""Whether a model looks at the lesion: slices without a tumour, asked again with one pasted in.

    python benchmarks/measure_pasting.py MODEL... --manifest RUN/split.csv

The slices and the lesions are those that the manifest gave to validation; a lesion is turned,
scaled and given another contrast, as in training (`edge_mri_train.augmentation.lesions`), so that a
model that was trained with pasting has the better of one that was not. Source, contrast and frame
stay what they were: a model that reads those says the same of both pictures. Printed for each set,
with n: how many slices are called tumour before and after, with Wilson's 95 % interval, and the
AUROC of the pasted against the untouched. Every image is answered.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.labels import NO_TUMOR
from edge_mri.preprocess import PreprocessSpec
from edge_mri.progress import NoProgress
from edge_mri_train.augmentation.lesions import LesionBank
from edge_mri_train.manifest import read_manifest
from edge_mri_train.metrics import auroc, wilson
from edge_mri_train.predictor import Predictor, open_predictor
from edge_mri_train.slices import Slices
from edge_mri_train.split import VAL

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
        before, after, sets = pasted(options.manifest, model.preprocess, options.seed)
        report[str(path)] = measured(model, before, after, sets)
        print(f"{path}: tumour from P(any tumour) = {model.tumor_threshold:.3g}")  # noqa: T201
        for name, part in report[str(path)].items():
            print(line(name, part))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def pasted(
    manifest: Path, spec: PreprocessSpec, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.str_]]:
    """Return `(N, 1, S, S)` uint8 slices without a tumour, the same with one, and their sets."""
    rows = [row for row in read_manifest(manifest) if row.sample.split == VAL]
    slices = Slices.load([row.sample for row in rows], spec, "images", NoProgress())
    bank = LesionBank(slices.pixels[:, 0], slices.masks)
    rng = np.random.default_rng(seed)
    places, changed = [], []
    for place, label in enumerate(slices.labels):
        if label.type != NO_TUMOR:
            continue
        view = bank.paste(slices.view(place), rng)
        if view.is_pasted:
            places.append(place)
            changed.append(np.round(view.image * 255).astype(np.uint8)[np.newaxis])
    if not places:
        raise SystemExit(
            f"{manifest} gives validation no outlined lesion that fits a slice without a tumour; "
            "give the manifest of a run with an outlined set and tumour-free slices"
        )
    names = np.array([rows[place].sample.root.name for place in places])
    return slices.pixels[places], np.stack(changed), names


def measured(
    model: Predictor,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    sets: NDArray[np.str_],
) -> dict[str, dict[str, Any]]:
    """Return the figures of each set, and of all."""
    scores = [tumor_scores(model, pixels) for pixels in (before, after)]
    groups = {name: sets == name for name in sorted(set(sets.tolist()))}
    return {
        name: _figures(scores[0][kept], scores[1][kept], model.tumor_threshold)
        for name, kept in {**groups, "all": np.full(len(sets), True)}.items()
    }


def tumor_scores(model: Predictor, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `(N,)` P(any tumour)."""
    batches = [pixels[at : at + _BATCH] for at in range(0, len(pixels), _BATCH)]
    return np.concatenate([model.decide(model.answers(one), reject=False).tumor for one in batches])


def _figures(
    before: NDArray[np.float32], after: NDArray[np.float32], threshold: float
) -> dict[str, Any]:
    said = [int((scores >= threshold).sum()) for scores in (before, after)]
    truth = np.arange(2 * len(before)) >= len(before)
    return {
        "n": len(before),
        "before": said[0] / len(before),
        "before_ci95": wilson(said[0], len(before)),
        "after": said[1] / len(after),
        "after_ci95": wilson(said[1], len(after)),
        "auroc": auroc(truth, np.concatenate([before, after])),
    }


def line(name: str, part: dict[str, Any]) -> str:
    """Return a set's figures as a line of the table."""
    told = [
        f"{100 * part[when]:.1f} ({100 * part[f'{when}_ci95'][0]:.1f} to "
        f"{100 * part[f'{when}_ci95'][1]:.1f}) %"
        for when in ("before", "after")
    ]
    return (
        f"  {name:<14} n {part['n']}: called tumour {told[0]} before, {told[1]} with a lesion, "
        f"AUROC {part['auroc']:.3f}"
    )


if __name__ == "__main__":
    main()
