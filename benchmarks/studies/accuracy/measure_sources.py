r"""How well a model tells tumours from none, source by source and contrast by contrast.

    python benchmarks/studies/accuracy/measure_sources.py MODEL SETS.toml [--only SET]… \
        [--manifest FILE.csv] [--by contrast] [--json FILE]

Every image is answered. The tumours of each source and contrast stand against the tumour-free
images of every source: their areas under the ROC curve are averaged, so that no large source
decides. Of sets that a manifest holds, only the images that it gives to validation count.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.image_sets import ImageSets
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.evaluation.intervals import auroc, auroc_interval, wilson
from edge_mri_train.evaluation.predictor import Predictor, open_predictor

_FEWEST = 10
_BATCH = 256

Part = tuple[str, str]


def chosen(
    sets: Path, only: Sequence[str], manifest: Path | None
) -> tuple[list[Sample], NDArray[np.bool_]]:
    """Return images of some sets, of those in a manifest what validates; which are of no such."""
    progress = TerminalProgress()
    read = ImageSets.of([sets], None, (), None, None, progress)
    samples = [one for one in read.samples(progress) if not only or one.root.name in only]
    rows = [] if manifest is None else read_manifest(manifest)
    held = {row.sample.root.resolve() for row in rows}
    validating = {row.sample.file.resolve() for row in rows if row.sample.split == "val"}
    unseen = [one.root.resolve() not in held for one in samples]
    kept = [
        new or one.file.resolve() in validating for one, new in zip(samples, unseen, strict=True)
    ]
    return [one for one, keep in zip(samples, kept, strict=True) if keep], np.array(unseen)[kept]


def tumor_probabilities(model: Predictor, samples: Sequence[Sample]) -> NDArray[np.float32]:
    """Return `(N,)` P(any tumour)."""
    pixels = load_pixels([one.file for one in samples], model.preprocess)
    parts = []
    for start in range(0, len(pixels), _BATCH):
        answers = model.answers(pixels[start : start + _BATCH])
        tumor = model.decide(answers, reject=False).tumor
        assert tumor is not None  # asked of models with an absent type alone
        parts.append(tumor)
    return np.concatenate(parts)


def measured(
    probabilities: NDArray[np.float32],
    samples: Sequence[Sample],
    space: LabelSpace,
    threshold: float,
    by: str,
    unseen: NDArray[np.bool_],
) -> dict[str, Any]:
    """Return sensitivity and areas of each part with tumours, specificity of each without.

    `all` has the images of all parts together, where the largest decide; `unseen` those of sets
    that nothing was learned from.
    """
    present = [space.is_present(one.label) for one in samples]
    parts: dict[bool, dict[Part, list[int]]] = {True: {}, False: {}}
    for at, (one, there) in enumerate(zip(samples, present, strict=True)):
        if there is not None:
            part = one.root.name, one.tags.get(by, "")
            parts[there].setdefault(part, []).append(at)
    free = {part: probabilities[rows] for part, rows in parts[False].items()}
    tumors = {part: probabilities[rows] for part, rows in parts[True].items()}
    against = {part: values for part, values in free.items() if len(values) >= _FEWEST}
    truth = np.array([one is True for one in present])
    known = np.array([one is not None for one in present])
    return {
        "threshold": threshold,
        "all": _together("all", probabilities[known], truth[known], threshold),
        "unseen": _together(
            "unseen", probabilities[known & unseen], truth[known & unseen], threshold
        ),
        "tumors": [
            {**_share(part, values >= threshold), "auroc": _area(values, list(against.values()))}
            for part, values in sorted(tumors.items())
        ],
        "free": [_share(part, values < threshold) for part, values in sorted(free.items())],
    }


def _together(
    name: str, probabilities: NDArray[np.float32], truth: NDArray[np.bool_], threshold: float
) -> dict[str, Any]:
    return {
        "auroc": auroc(truth, probabilities),
        "auroc_ci95": auroc_interval(truth, probabilities),
        "tumors": _share((name, ""), probabilities[truth] >= threshold),
        "free": _share((name, ""), probabilities[~truth] < threshold),
    }


def _share(part: Part, right: NDArray[np.bool_]) -> dict[str, Any]:
    n, k = len(right), int(right.sum())
    share = k / n if n else None
    return {"set": part[0], "part": part[1], "n": n, "share": share, "ci95": wilson(k, n)}


def _area(tumors: NDArray[np.float32], frees: Sequence[NDArray[np.float32]]) -> float | None:
    areas = [
        auroc(np.repeat([True, False], [len(tumors), len(free)]), np.concatenate([tumors, free]))
        for free in frees
    ]
    return float(np.mean([one for one in areas if one is not None])) if areas else None


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the table."""
    table = [f"operating point {figures['threshold']:.3f}"]
    for title, rows in (("found", figures["tumors"]), ("called free", figures["free"])):
        table.append(f"{'set':<18}{'part':<8}{'n':>6}  {title} %")
        for row in rows:
            low, high = row["ci95"]
            area = row.get("auroc")
            table.append(
                f"{row['set']:<18}{row['part']:<8}{row['n']:>6}  {100 * row['share']:.1f} "
                f"({100 * low:.1f}-{100 * high:.1f})"
                + ("" if area is None else f"  AUROC {area:.3f}")
            )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--by", default="contrast")
    parser.add_argument("--json", type=Path)
    told = parser.parse_args(arguments)
    model = open_predictor(told.model)
    samples, unseen = chosen(told.sets, told.only, told.manifest)
    probabilities = tumor_probabilities(model, samples)
    figures = measured(probabilities, samples, model.labels, model.tumor_threshold, told.by, unseen)
    click.echo("\n".join(lines(figures)))
    if told.json is not None:
        told.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
