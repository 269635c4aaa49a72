r"""How well a model tells brain MR slices from everything else, and what that costs.

    python benchmarks/studies/accuracy/measure_rejection.py MODEL --manifest RUN/split.csv \
        --brain DIR... --foreign DIR... --json docs/figures/rejection.json

Brain images are those that the manifest gave to validation, what the AUROC is measured against, and
those of `--brain`: images that nothing was chosen on, from other places, each folder on its own.
Foreign images are those of the folders, of installed packages, and drawn ones: noise, blank images,
text (`foreign_images`). Brain images turned upside down, cut to a quarter, inverted
or torn into tiles are measured beside these: still MR, so that they do not count in the AUROC of
foreign images.

For each group, with n and Wilson's 95 % interval: the share rejected as foreign or as unfamiliar at
the model's limits, and as foreign alone; and the AUROC of novelty and of the log odds that an image
is foreign, of novelty for all foreign ones together with a bootstrap interval over images. For
comparison the AUROC of one less the largest probability (Hendrycks & Gimpel 2017, "A
baseline for detecting misclassified and out-of-distribution examples") and of the energy (Liu et
al. 2020, "Energy-based out-of-distribution detection"), which every model has whose logits are not
log probabilities.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.images.preprocess import preprocess_batch
from edge_mri.model.rejection import FOREIGN, Rejection
from edge_mri_export.gate.drawn import drawn
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.evaluation.intervals import auroc, ratio, wilson
from foreign_images import (
    Image,
    altered,
    dicom,
    folder,
    packaged,
    read_all,
)

Scores = dict[str, NDArray[np.float32]]

SCORES = ("novelty", "log odds", "1 - largest p", "energy")

_BATCH = 32
_RESAMPLES = 500
_NORMALISED = 1e-3  # an energy as small as this everywhere: the logits are log probabilities


def scored(classifier: Classifier, images: Sequence[Image]) -> Scores:
    """Return the `(N,)` scores of images, each higher for what is foreign."""
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in SCORES}
    for start in range(0, len(images), _BATCH):
        batch = preprocess_batch(images[start : start + _BATCH], classifier.contract.preprocess)
        answers = classifier.answers(batch)
        if answers.novelty is not None:
            parts["novelty"].append(answers.novelty)
        if answers.foreign is not None:
            parts["log odds"].append(answers.foreign)
        parts["1 - largest p"].append(1 - answers.probabilities.max(axis=1))
        logits = classifier.logits(batch)
        parts["energy"].append(-np.logaddexp.reduce(logits, axis=1))
    scores = {name: np.concatenate(values) for name, values in parts.items() if values}
    if np.abs(scores["energy"]).max() < _NORMALISED:
        del scores["energy"]
    return scores


def validation_images(manifest: Path) -> list[Image]:
    """Read the images that a run's manifest gives to validation."""
    samples = [row.sample for row in read_manifest(manifest)]
    return read_all(sample.file for sample in samples if sample.split == "val")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--manifest", type=Path, help="whose validation images are brain images")
    parser.add_argument("--brain", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--foreign", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if not options.manifest and not options.brain:
        parser.error("no brain images: give --manifest, --brain or both")
    brains = {"/".join(one.resolve().parts[-2:]): folder(one) for one in options.brain}
    if options.manifest:
        brains = {"validation": validation_images(options.manifest)} | brains
    known = next(iter(brains))
    if empty := [name for name, images in brains.items() if not images]:
        parser.error(f"no usable image in {', '.join(empty)}")
    rng = np.random.default_rng(options.seed)
    classifier = Classifier.load(options.model, device="cpu")
    gate = classifier.contract.rejection
    if gate is None:
        click.echo("This model has no gate: it answers every image.")

    click.echo(f"{'rejected':<28}{'n':>6}{'%':>22}{'as foreign':>12}" + _header())
    inside = {name: scored(classifier, images) for name, images in brains.items()}
    foreign: dict[str, Any] = {}
    outside: list[Scores] = []
    folders = ((one.name, folder(one)) for one in options.foreign)
    for name, images in (*folders, *packaged(), *dicom(), *drawn(rng).items()):
        if images:
            outside.append(scored(classifier, images))
            foreign[name] = _shown(name, outside[-1], inside[known], gate)
    if not outside:
        parser.error("no foreign images: give --foreign")
    everything = _joined(outside)
    overall = _shown("all foreign", everything, inside[known], gate)
    brain = {name: _shown(name, scores, None, gate) for name, scores in inside.items()}
    if "novelty" in everything:
        for name, scores in inside.items():
            pair = scores["novelty"], everything["novelty"]
            brain[name] |= {"auroc": area(*pair), "auroc_ci95": bootstrap(*pair, rng)}
            low, high = brain[name]["auroc_ci95"]
            told = f"{brain[name]['auroc']:.4f} ({low:.4f}-{high:.4f})"
            click.echo(f"AUROC of novelty, {name} and all foreign: {told}")
    changed = [image for images in brains.values() for image in images]
    results = {
        "model": classifier.contract.name,
        "model_sha256": classifier.model_sha256,
        "max_novelty": None if gate is None else gate.max_novelty,
        "max_foreign": None if gate is None else gate.max_foreign,
        "known": known,
        "brain_n": brain[known]["n"],
        "foreign_n": overall["n"],
        "auroc": brain[known].get("auroc"),
        "auroc_ci95": brain[known].get("auroc_ci95"),
        "brain": brain,
        "foreign": foreign | {"all": overall},
        "altered": {
            name: _shown(f"brain, {name}", scored(classifier, images), inside[known], gate)
            for name, images in altered(changed, rng)
        },
    }
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def area(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Return the AUROC of scores of brain images and of foreign ones."""
    truth = np.repeat([False, True], [len(inside), len(outside)])
    value = auroc(truth, np.concatenate([inside, outside]))
    return float("nan") if value is None else value


def bootstrap(
    inside: NDArray[np.float32], outside: NDArray[np.float32], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the AUROC, images of either side drawn again with return."""
    values = [
        area(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _joined(groups: Sequence[Scores]) -> Scores:
    """Return the scores of several groups together, as far as all of them have them."""
    names = [name for name in SCORES if all(name in one for one in groups)]
    return {name: np.concatenate([one[name] for one in groups]) for name in names}


def _header() -> str:
    return "".join(f"{'AUROC ' + name:>22}" for name in SCORES)


def _shown(
    name: str, scores: Scores, brain: Scores | None, gate: Rejection | None
) -> dict[str, Any]:
    """Print a group's row and return its figures."""
    n = len(next(iter(scores.values())))
    values: dict[str, Any] = {"n": n}
    line = f"{name[:27]:<28}{n:>6}"
    if gate is None or "novelty" not in scores:
        line += f"{'-':>22}{'-':>12}"
    else:
        novel = ~(scores["novelty"] <= gate.max_novelty)
        foreign = novel if gate.novel == FOREIGN else np.zeros(n, bool)
        if gate.max_foreign is not None:
            foreign = foreign | ~(scores["log odds"] <= gate.max_foreign)
        rejected = int((foreign | novel).sum())
        values |= {"rejected": ratio(rejected, n), "rejected_ci95": wilson(rejected, n)}
        low, high = values["rejected_ci95"]
        share = f"{100 * rejected / n:.1f} ({100 * low:.1f}-{100 * high:.1f})"
        values["foreign"] = ratio(int(foreign.sum()), n)
        line += f"{share:>22}{100 * values['foreign']:>12.1f}"
    for score in SCORES if brain is not None else ():
        if brain is None or score not in scores or score not in brain:
            line += f"{'-':>22}"
            continue
        values[f"auroc {score}"] = area(brain[score], scores[score])
        line += f"{values[f'auroc {score}']:>22.4f}"
    click.echo(line)
    return values


if __name__ == "__main__":
    main()
