r"""The folds of a cross-validation, read together: each image by the run that held it out.

    edge-mri split artemis --folds 5 --out folds.csv
    edge-mri train --recipe mobilenet_v2 --split folds.csv --fold 0 --out runs/0   # and 1 to 4
    python benchmarks/studies/accuracy/cross_validation.py runs/0 runs/1 runs/2 runs/3 \
        runs/4 --without glioma

The weights are those of each run's last epoch, not of its best: which epoch is best was found on
the very images that are scored. For the same reason tumour is said from 0.5, at no operating point.
`--without TYPE` scores the images of the other types by themselves. A bootstrap over groups of near
duplicates gives the intervals of the balanced figures, Wilson those of the shares.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import TYPES, Label, LabelSpace
from edge_mri_train.data.manifest import manifest_space, read_manifest
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.data.split import VAL
from edge_mri_train.evaluation.figures import figures
from edge_mri_train.learning.optimizer import averaged
from edge_mri_train.networks.checkpoint import Checkpoint, load_state
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.runs import CONFIG, LAST, MANIFEST
from edge_mri_train.training.configured import build_network
from edge_mri_train.training.dividing import label_space


def main(arguments: Sequence[str] | None = None) -> None:
    """Score the folds, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of `edge-mri train --fold`")
    parser.add_argument("--without", choices=TYPES, help="score the other types' images too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    answered = [held_out(run) for run in options.runs]
    spaces = {space for space, *_ in answered}
    paths = [path for *_, some in answered for path in some]
    if len(spaces) > 1 or len(set(paths)) < len(paths):
        parser.error("the runs answer different classes, or hold the same image out twice")
    space = spaces.pop()
    probabilities = np.concatenate([one for _, one, *_ in answered])
    labels = [label for _, _, some, *_ in answered for label in some]
    names = [group for *_, some, _ in answered for group in some]
    groups = np.unique(names, return_inverse=True)[1]
    report = {"folds": len(answered), "all": figures(probabilities, labels, space, groups)}
    if options.without:
        kept = np.array([label.type != options.without for label in labels])
        some = [label for label, keep in zip(labels, kept, strict=True) if keep]
        report[f"without {options.without}"] = figures(
            probabilities[kept], some, space, groups[kept]
        )
    for name, part in report.items():
        if isinstance(part, dict):
            print("\n".join(table(name, part)))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def held_out(
    run: Path,
) -> tuple[LabelSpace, NDArray[np.float32], list[Label], list[str], list[Path]]:
    """Return a run's classes, and of the images it held out: answers, labels, groups, files."""
    config = TrainConfig.read(run / CONFIG)
    rows = read_manifest(run / MANIFEST)
    held = [row for row in rows if row.sample.split == VAL]
    spec = PreprocessSpec(config.image_size)
    space = label_space(config, [row.sample for row in rows], manifest_space(run / MANIFEST))
    last = Checkpoint(config.arch, space, spec, last_network(config, space, run).eval())
    files = [row.sample.file for row in held]
    return (
        space,
        last.probabilities(load_pixels(files, spec)),
        [row.sample.label for row in held],
        [row.group for row in held],
        files,
    )


def last_network(config: TrainConfig, space: LabelSpace, run: Path) -> nn.Module:
    """Return what a run keeps after its last epoch: the averaged weights where there are such."""
    state = load_state(run / LAST)
    network = build_network(config, len(space.classes), space)
    if state["average"] is None:
        network.load_state_dict(state["network"])
        return network
    average = averaged(network, config.ema)
    average.load_state_dict(state["average"])
    return average.module


def table(name: str, part: dict[str, Any]) -> list[str]:
    """Return a line an axis."""
    return [
        f"{name + ', ' + axis:<24} n {part[axis]['n']}: {100 * part[axis]['accuracy']:.1f} "
        f"({100 * part[axis]['ci95'][0]:.1f} to {100 * part[axis]['ci95'][1]:.1f}) %, balanced "
        f"{100 * part[axis]['balanced_accuracy']:.1f} %"
        for axis in ("joint", "type", "plane")
        if part[axis]
    ]


if __name__ == "__main__":
    main()
