"""What a volume's rule costs and finds: fitted and counted on volumes, not on slices.

With tumours: the stacks of tcga-lgg, a patient and contrast each, in slice order. Without: the
stacks of other sets, a head and plane each, the series of `dicom`, and whole volumes that are given
besides. Of a listed stack only some slices are there, so its windows are fewer than a whole volume
has: what it says of false alarms is a lower bound. From a checkout:

    make model DATA=…    (or a manifest of `edge-mri split`)
    python benchmarks/studies/accuracy/measure_volumes.py --data "$EDGE_MRI_DATA" \
        --split build/model/split.csv --volumes FOLDER_OF_TUMOUR_FREE_NIFTI --json volumes.json

Then the same whole volumes with slices as thick as clinical ones, cut along all three axes: which
planes still have answers. Figures: docs/decisions/0063.
"""

import csv
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import click
import nibabel as nib
import numpy as np

from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import Volume, VolumeSummaries
from edge_mri.classifier import Classifier
from edge_mri.images import ImageFiles
from edge_mri.images.pixels.acquired import ALL
from edge_mri.images.pixels.frame import SlicePosition
from edge_mri.model.volume_rule import VolumeRule
from edge_mri_train.evaluation.intervals import wilson

LISTED = ("ds002748", "single_volumes", "ixi")
SERIES = ("dicom/trio_t1", "dicom/philips_t1")
NEIGHBOURS, SHARES = (1, 2, 3, 4, 5), (0.0, 1 / 20, 1 / 12, 1 / 8)
THICKNESS = (1, 2, 3, 5)

_TUMOUR = re.compile(r"(TCGA_\w\w_\w+?_\d+)_(\d+)_(\w+)\.jpg")
_FREE = re.compile(r"(.+)_(axi|cor|sag)(\d+)\.jpg")


@dataclass(frozen=True)
class Stack:
    """The records of one volume, and where it comes from.

    Attributes:
        source: The set.
        name: The patient, or the head.
        has_tumour: Whether there is one.
        held_out: Whether the model was not trained on its patient.
        contrast: Of tcga-lgg.
        records: In slice order.
    """

    source: str
    name: str
    has_tumour: bool
    held_out: bool
    contrast: str
    records: list[Prediction]

    def judged(self, rule: VolumeRule) -> Volume:
        """Return what the product says of it."""
        summaries = VolumeSummaries(rule=rule)
        for _ in summaries.through(self.records):
            pass
        (volume,) = summaries.volumes()
        return volume

    def score(self, rule: VolumeRule) -> float:
        """Return the mean that the rule compares; 0 where no window has answers."""
        return self.judged(rule).neighbours_tumor_probability or 0.0


def in_order(records: Iterable[tuple[int, Prediction]]) -> list[Prediction]:
    """Return listed slices as neighbours, whatever lies between them."""
    ordered = [record for _, record in sorted(records, key=lambda pair: pair[0])]
    return [
        replace(record, series="one", position=SlicePosition("listed", place))
        for place, record in enumerate(ordered)
    ]


def with_tumours(classifier: Classifier, data: Path, validated: set[str]) -> Iterator[Stack]:
    """Give the stacks of tcga-lgg."""
    files = ImageFiles((data / "tcga-lgg/tumor", data / "tcga-lgg/no_tumor"))
    found = []
    for record in classifier.stream(files):
        match = _TUMOUR.fullmatch(Path(record.path).name)
        if match:
            patient, number, contrast = match.groups()
            found.append((patient, contrast, int(number), record))
    found.sort(key=lambda one: one[:3])
    for (patient, contrast), slices in groupby(found, key=lambda one: one[:2]):
        records = in_order(one[2:] for one in slices)
        yield Stack("tcga-lgg", patient, True, patient in validated, contrast, records)


def without(classifier: Classifier, data: Path, volumes: Path | None) -> Iterator[Stack]:
    """Give the tumour-free stacks; from parts of those listed the packaged model learned."""
    for source in LISTED:
        found = []
        for record in classifier.stream(ImageFiles((data / source / "no_tumor",))):
            match = _FREE.fullmatch(Path(record.path).name)
            if match:
                found.append((match[1], match[2], int(match[3]), record))
        found.sort(key=lambda one: one[:3])
        for (name, plane), slices in groupby(found, key=lambda one: one[:2]):
            records = in_order(one[2:] for one in slices)
            if len(records) > 1:
                yield Stack(source, f"{name} {plane}", False, True, "", records)
    for series in SERIES:
        records = list(classifier.stream(ImageFiles((data / series,), volumes=True)))
        yield Stack("dicom", series, False, True, "", records)
    for file in ImageFiles((volumes,), volumes=True) if volumes else ():
        yield Stack("whole", file.name, False, True, "", list(classifier.stream([file])))


def fitted(stacks: list[Stack], rule: VolumeRule) -> dict[str, Any]:
    """Return the threshold that no tumour-free stack reaches, and what it finds.

    `left_out`: by source the stacks that reach the threshold of all others.
    """
    tumours = np.array([one.score(rule) for one in stacks if one.has_tumour])
    free = [(one.source, one.score(rule)) for one in stacks if not one.has_tumour]
    left_out = {}
    for source in dict(free):
        highest = max(score for other, score in free if other != source)
        scores = [score for other, score in free if other == source]
        left_out[source] = [sum(score > highest for score in scores), len(scores)]
    highest = max(score for _, score in free)
    return {
        "neighbours": rule.neighbours,
        "share": rule.share,
        "highest_free": highest,
        "found": int((tumours > highest).sum()),
        "n": len(tumours),
        "left_out": left_out,
    }


def counted(stacks: list[Stack], rule: VolumeRule) -> dict[str, Any]:
    """Return how many stacks are called what, with 95 % Wilson intervals of the first two."""
    said = [one.judged(rule).type for one in stacks]
    tumour = sum(type_ not in (None, "no_tumor") for type_ in said)
    free = said.count("no_tumor")
    return {
        "n": len(said),
        "tumour": tumour,
        "tumour_ci95": wilson(tumour, len(said)),
        "no_tumor": free,
        "no_tumor_ci95": wilson(free, len(said)),
        "no_type": said.count(None),
        "other_type": sum(type_ not in (None, "no_tumor", "glioma") for type_ in said),
    }


def groups(stacks: list[Stack]) -> dict[str, list[Stack]]:
    """Return the stacks that are counted together."""
    tumours = [one for one in stacks if one.has_tumour]
    held_out = [one for one in tumours if one.held_out]
    found = {"tcga-lgg, trained on": [one for one in tumours if not one.held_out]}
    found["tcga-lgg, not trained on"] = held_out
    for contrast in sorted({one.contrast for one in held_out}):
        same = [one for one in held_out if one.contrast == contrast]
        found[f"tcga-lgg, not trained on, {contrast}"] = same
    for source in dict.fromkeys(one.source for one in stacks if not one.has_tumour):
        found[f"free: {source}"] = [one for one in stacks if one.source == source]
    return found


def thickened(classifier: Classifier, file: Path, thickness: int) -> dict[str, Any]:
    """Average slices along the third axis, cut all planes; by plane what is answered, and how."""
    image: Any = nib.load(file)
    values = np.asanyarray(image.dataobj)[..., : image.shape[2] // thickness * thickness]
    shape = (*values.shape[:2], -1, thickness)
    thick = values.reshape(shape).mean(axis=3).astype(np.float32)
    affine = image.affine @ np.diag([1, 1, thickness, 1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thick.nii"
        nib.save(nib.Nifti1Image(thick, affine), path)
        records = list(classifier.stream([path]))
    return {
        plane: [
            sum(one.plane == plane for one in records),
            sum(one.plane == plane and one.status == "ok" for one in records),
            sum(
                one.plane == plane and one.status == "ok" and one.type != "no_tumor"
                for one in records
            ),
        ]
        for plane in ("axial", "coronal", "sagittal")
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The sets' folder.")
@click.option("--split", type=click.Path(path_type=Path), required=True, help="As for the model.")
@click.option("--volumes", type=click.Path(path_type=Path), help="Tumour-free NIfTI volumes.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="The figures.")
def main(data: Path, split: Path, volumes: Path | None, out: Path | None) -> None:
    """Print the figures; write them, too."""
    with split.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "tcga-lgg" in row["set"]]
    validated = {
        match[1]
        for row in rows
        if row["split"] == "val" and (match := _TUMOUR.search(Path(row["path"]).name))
    }
    classifier = Classifier.load(device="cpu", planes=ALL)
    stacks = [*with_tumours(classifier, data, validated), *without(classifier, data, volumes)]
    rules = [VolumeRule(number, share) for number, share in product(NEIGHBOURS, SHARES)]
    figures = {
        "rule": asdict(VolumeRule()),
        "fits": [fitted(stacks, rule) for rule in rules],
        "counts": {name: counted(group, VolumeRule()) for name, group in groups(stacks).items()},
        "thick": {
            str(thickness): {
                file.name: thickened(classifier, file, thickness)
                for file in (ImageFiles((volumes,), volumes=True) if volumes else ())
            }
            for thickness in THICKNESS
        },
    }
    for one in figures["fits"]:
        click.echo(json.dumps(one))
    for name, one in figures["counts"].items():
        click.echo(f"{name}: {json.dumps(one)}")
    for name, one in figures["thick"].items():
        click.echo(f"{name}: {json.dumps(one)}")
    if out is not None:
        out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
