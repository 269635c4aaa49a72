r"""Whether heatmaps point at tumours: peaks and boxes against an expert's outlines.

    python benchmarks/studies/lesions/measure_heatmaps.py MODEL --data cheng \
        --manifest RUN/split.csv --fractions --json docs/figures/heatmaps.json

The folder holds outlined images (`outlined`). With `--manifest` those are kept that
the run's manifest gave to validation, whole patients as far as they are known: what there is to
measure a model that learned from the same set. Else images that the model was trained on, or near
duplicates of such, are left out by what it remembers of them (the `.seen` file beside it; `--seen`
names another); `--all` keeps them.

Printed, with n and Wilson's 95 % intervals: the share of images whose peak lies inside the outline
or within 5 px of it; the same for a point drawn at random from the head, what chance gives; the
share of boxes whose intersection with the outline's bounding box is at least half of their union.

`--fractions` tries other fractions of the peak's height for the box: chosen on one half of the
images by number (those of one patient are neighbours), scored on the other. Last comes the check
with shuffled weights (`shuffled_weights`).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edge_mri.classifier import Classifier
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.evaluation.predictor import SEEN_SUFFIX
from outlined import RADII_PX, read_cases, unseen, validated
from pointing import box_fractions, findings, scores
from shuffled_weights import sanity


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="images and outlines.json")
    parser.add_argument("--seen", type=Path, help="what the model remembers")
    parser.add_argument("--manifest", type=Path, help="keep its validation images instead")
    parser.add_argument("--fractions", action="store_true", help="of a peak's height, for boxes")
    parser.add_argument("--all", action="store_true", help="also images that it was trained on")
    parser.add_argument("--networks", type=int, default=5, help="with shuffled weights")
    parser.add_argument("--images", type=int, default=100, help="for the check of sanity")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    classifier = Classifier.load(options.model, device="cpu", reject=False)
    if classifier.map_output is None:
        parser.error(f"{options.model} has neither a lesion map nor a cam output")
    cases = read_cases(options.data)
    count = len(cases)
    which = "all"
    if options.manifest:
        which, cases = "validation", validated(cases, options.manifest)
    elif not options.all:
        which = "unseen"
        memory = options.seen or options.model.with_suffix(SEEN_SUFFIX)
        if not memory.is_file():
            parser.error(f"{memory} is missing: give --seen, or --all to keep training images")
        cases = unseen(cases, SeenImages.from_bytes(memory.read_bytes()))
    click.echo(f"{len(cases)} of {count} images, map from `{classifier.map_output}`")
    if not cases:
        parser.error("no image is left: the model was trained on all of them, or near duplicates")
    found = list(findings(classifier, cases))
    groups = {"all": found, "called tumour": [one for one in found if one.called]}
    groups |= {
        name: [one for one in found if one.case.type == name]
        for name in sorted({one.case.type for one in found})
    }
    results: dict[str, Any] = {
        "model": classifier.contract.name,
        "model_sha256": classifier.model_sha256,
        "which": which,
        "map": classifier.map_output,
        "images": count,
        "left_out": count - len(cases),
        **{name: scores(group) for name, group in groups.items() if group},
        "sanity": sanity(classifier, found, options.networks, options.images),
    }
    if options.fractions:
        results["fractions"] = box_fractions(found)
    click.echo(
        f"{'':<16}{'n':>6}{'peak inside %':>24}{'chance':>8}{'within 5 px %':>24}{'chance':>8}"
        f"{'box IoU >= 0.5 %':>24}{'median IoU':>12}"
    )
    for name in groups:
        if name in results:
            click.echo(f"{name:<16}{_row(results[name])}")
    click.echo(f"shuffled weights: {json.dumps(results['sanity'])}")
    if options.fractions:
        click.echo(f"boxes by fraction: {json.dumps(results['fractions'])}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _row(values: dict[str, Any]) -> str:
    def share(name: str) -> str:
        low, high = values[f"{name}_ci95"]
        return f"{100 * values[name]:.1f} ({100 * low:.1f}-{100 * high:.1f})"

    cells = [f"{values['n']:>6}"]
    for radius in RADII_PX:
        cells += [
            f"{share(f'peak_{radius}px'):>24}",
            f"{100 * values[f'chance_{radius}px']:>8.1f}",
        ]
    return "".join([*cells, f"{share('box'):>24}", f"{values['median_iou']:>12.2f}"])


if __name__ == "__main__":
    main()
