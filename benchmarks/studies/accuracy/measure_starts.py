r"""From the packaged model to another question, beside starts from nothing and from ImageNet.

Three questions to f44, which no model that shipped was trained on: is there a tumour (`yes-no`, T1
and T2, since no tumour-free image has contrast), which kind (`kind`, nine, normal is one), which
contrast (`contrast`, of tumours alone). A group of near duplicates is on one side; a third of the
groups is the test side, the same for all. Of the others N images a class are drawn anew each
repeat, a third of which validates. Each training is `edge-mri train` as users run it; starts from
nothing and from ImageNet get 60 to 120 and 40 to 100 steps, whatever their defaults come to. With
`-head` the trunk stays as it starts (`--frozen-trunk always`).

    OMP_NUM_THREADS=1 python benchmarks/studies/accuracy/measure_starts.py --data f44 --out DIR \
        --imagenet FILE

A training that is in DIR already is not done again. Intervals are a bootstrap over the groups of
the test side; how far draws differ is beside them.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from edge_mri.classifier import Classifier
from edge_mri.labels import Label, LabelSpace
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.folders import Sample
from edge_mri_train.data.manifest import Row, hash_files, write_manifest
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.errors import IndexFileError
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.csv_file import open_csv
from edge_mri_train.settings.recipe_files import read_recipe
from edge_mri_train.training.configured import defaults_of
from edge_mri_train.training.run import train
from edge_mri_train.training.trainer import Trainer

KINDS = (
    *("carcinoma", "choroid_plexus_papilloma", "germinoma", "glioma", "medulloblastoma"),
    *("meningioma", "neurocytoma", "normal", "schwannoma"),
)
SPACES = {
    "yes-no": LabelSpace(("no", "yes"), (), "no", "yes"),
    "kind": LabelSpace(KINDS, (), "normal", "lesion"),
    "contrast": LabelSpace(("t1", "t1c", "t2"), (), None),
}
SIZES = (40, 10, 160)
STARTS = ("shipped-head", "imagenet-head", "shipped", "imagenet", "none")
MOST_TESTED = {"yes-no": 150, "kind": 60, "contrast": 150}
STEPS = {"none": (60, 120), "imagenet": (40, 100)}
RESAMPLES = 1000


def named(question: str, row: dict[str, str]) -> str | None:
    """Return the class of an image; None where the question is not asked of it."""
    is_tumor = row["label"] in ("glioma", "meningioma", "tumor")
    if question == "yes-no":
        if row["contrast"] == "t1c" or not (is_tumor or row["label"] == "no_tumor"):
            return None
        return "yes" if is_tumor else "no"
    if question == "kind":
        return row["kind"] if row["kind"] in KINDS else None
    return row["contrast"] if is_tumor else None


def sides(
    data: Path, question: str
) -> tuple[dict[str, list[dict[str, str]]], dict[str, list[dict[str, str]]]]:
    """Return the images to draw from and those to test on, by class; repeats are left out."""
    with open_csv(data / "index.csv", IndexFileError) as reader:
        rows = list({row["path"]: row for row in reader if not row["repeat"]}.values())
    groups = sorted({row["group"] for row in rows})
    shuffled = np.random.default_rng(44).permutation(groups).tolist()
    tested = set(shuffled[: len(groups) // 3])
    pool: dict[str, list[dict[str, str]]] = {}
    test: dict[str, list[dict[str, str]]] = {}
    for at in np.random.default_rng(45).permutation(len(rows)):
        row = rows[at]
        if (name := named(question, row)) is None:
            continue
        side = test if row["group"] in tested else pool
        if side is pool or len(side.get(name, ())) < MOST_TESTED[question]:
            side.setdefault(name, []).append(row)
    return pool, test


def drawn(
    data: Path, pool: dict[str, list[dict[str, str]]], size: int, repeat: int
) -> list[Sample]:
    """Draw `size` images a class, or all that there are; groups of a third of them validate."""
    random = np.random.default_rng((repeat, size))
    samples = []
    for name in sorted(pool):
        chosen = [pool[name][at] for at in random.permutation(len(pool[name]))[:size]]
        validating: set[str] = set()
        for group in random.permutation(sorted({row["group"] for row in chosen})).tolist():
            held = sum(row["group"] in validating for row in chosen)
            if held + sum(row["group"] == group for row in chosen) <= round(len(chosen) / 3):
                validating.add(group)
        for row in chosen:
            side = "val" if row["group"] in validating else "train"
            samples.append(Sample(data, Path(row["path"]), Label(name), side, row["group"]))
    return samples


def config_of(start: str, manifest: Path, imagenet: Path, images: int, repeat: int) -> TrainConfig:
    """Return what a user's command line comes to."""
    start, _, head = start.partition("-")
    if start == "shipped":
        values = read_recipe("edge_net_own")[0].values | {"task": "auto", "frozen_trunk": "first"}
    else:
        arch = "edge_net" if start == "none" else "mobilenet_v2"
        values = {"arch": arch, "task": "auto"} | asdict(defaults_of(arch))
        values["init_weights"] = "none" if start == "none" else str(imagenet)
        steps = max(images // 32, 1)
        least, most = STEPS[start]
        values["epochs"] = -(-min(max(values["epochs"] * steps, least), most) // steps)
    if head:
        values["frozen_trunk"] = "always"
    own = {"data": (), "split": str(manifest), "seed": repeat, "device": "cpu"}
    return TrainConfig(**values | own)


def run(
    folder: Path, samples: list[Sample], space: LabelSpace, start: str, imagenet: Path, repeat: int
) -> tuple[Checkpoint, dict[str, Any]]:
    """Train; return the model and what it took."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "cell.csv"
    hashes = hash_files(samples, NoProgress())
    rows = [Row(one, sha, one.group or "") for one, sha in zip(samples, hashes, strict=True)]
    write_manifest(rows, manifest, space)
    images = sum(one.split == "train" for one in samples)
    config = config_of(start, manifest, imagenet, images, repeat)
    began, cpu = time.perf_counter(), time.process_time()
    with patch.object(Trainer, "_save_progress"):  # curves and last.pt, more work than such epochs
        path = train(config, folder / "run", NoProgress())
    return Checkpoint.load(path), {
        "images": len(samples),
        "minutes": (time.perf_counter() - began) / 60,
        "cpu_minutes": (time.process_time() - cpu) / 60,
    }


def answered(
    model: Checkpoint, test: dict[str, list[dict[str, str]]], data: Path
) -> dict[str, Any]:
    """Answer the test side: type of each image, and P(present) where there is one."""
    rows = [(name, row) for name in sorted(test) for row in test[name]]
    pixels = load_pixels([data / row["path"] for _, row in rows], model.preprocess)
    probabilities = model.probabilities(pixels)
    space = model.labels
    types = space.type_probabilities(probabilities)
    said = types.argmax(axis=1)
    present = None
    if space.absent is not None:
        absent = space.types.index(space.absent)
        present = 1 - types[:, absent]
        others = np.where(np.arange(len(space.types)) == absent, -1.0, types).argmax(axis=1)
        said = np.where(present >= model.tumor_threshold, others, absent)
    return {
        "truth": [name for name, _ in rows],
        "groups": [row["group"] for _, row in rows],
        "said": [space.types[at] for at in said],
        "present": None if present is None else present.tolist(),
    }


def as_shipped(test: dict[str, list[dict[str, str]]], data: Path) -> dict[str, Any]:
    """Let the packaged model answer yes or no, at its own point, gate and doubt aside."""
    rows = [(name, row) for name in sorted(test) for row in test[name]]
    model = Classifier.load()
    contract = model.contract
    pixels = load_pixels([data / row["path"] for _, row in rows], contract.preprocess)
    types = contract.labels.type_probabilities(model.probabilities(pixels))
    present = 1 - types[:, contract.labels.types.index(str(contract.labels.absent))]
    return {
        "truth": [name for name, _ in rows],
        "groups": [row["group"] for _, row in rows],
        "said": ["yes" if one >= contract.tumor_threshold else "no" for one in present],
        "present": present.tolist(),
    }


def balanced(truth: NDArray[np.str_], right: NDArray[np.bool_]) -> float:
    """Return the mean share that is right over the classes."""
    return float(np.mean([right[truth == name].mean() for name in np.unique(truth)]))


def scored(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one cell's repeats: mean, interval over groups, range of the draws."""
    truth, said, groups = (
        np.array([one[key] for one in answers]) for key in ("truth", "said", "groups")
    )
    right = said == truth
    each = [balanced(truth[0], one) for one in right]
    names, of = np.unique(groups[0], return_inverse=True)
    random = np.random.default_rng(0)
    classes = {name: truth[0] == name for name in np.unique(truth[0])}
    mean_right = right.mean(axis=0)
    resampled = []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))[of]
        shares = [
            np.average(mean_right[one], weights=weight[one])
            for one in classes.values()
            if weight[one].any()
        ]
        resampled.append(np.mean(shares))
    area = None
    if len(classes) == 2 and answers[0]["present"] is not None:
        area = float(np.mean([roc_auc_score(truth[0] == "yes", one["present"]) for one in answers]))
    return {
        "n": len(truth[0]),
        "groups": len(names),
        "balanced": float(np.mean(each)),
        "ci95": np.quantile(resampled, [0.025, 0.975]).tolist(),
        "draws": [min(each), max(each)],
        "repeats": len(answers),
        "auroc": area,
    }


def line(name: str, cell: dict[str, Any], took: Sequence[dict[str, Any]]) -> str:
    """Return a cell as a row of the table."""
    low, high = (100 * one for one in cell["ci95"])
    worst, best = (100 * one for one in cell["draws"])
    auroc = "" if cell["auroc"] is None else f"  AUROC {cell['auroc']:.3f}"
    minutes = f"{np.mean([one['cpu_minutes'] for one in took]):.2f} min" if took else ""
    return (
        f"{name:<26}{100 * cell['balanced']:5.1f} % ({low:.1f}-{high:.1f}), draws {worst:.1f}-"
        f"{best:.1f} of {cell['repeats']}, n {cell['n']}  {minutes}{auroc}"
    )


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--imagenet", type=click.Path(path_type=Path), required=True)
@click.option("--question", "questions", multiple=True, default=tuple(SPACES))
@click.option("--size", "sizes", type=int, multiple=True, default=SIZES)
@click.option("--start", "starts", multiple=True, default=STARTS)
@click.option("--repeats", default=1)
def main(
    data: Path,
    out: Path,
    imagenet: Path,
    questions: tuple[str, ...],
    sizes: tuple[int, ...],
    starts: tuple[str, ...],
    repeats: int,
) -> None:
    """Train what is missing, then print the table."""
    for repeat in range(repeats):
        for size in sizes:
            for question in questions:
                pool, test = sides(data, question)
                for start in starts:
                    folder = out / f"{question}-{start}-{size}-{repeat}"
                    if (folder / "answers.json").exists():
                        continue
                    samples = drawn(data, pool, size, repeat)
                    model, took = run(folder, samples, SPACES[question], start, imagenet, repeat)
                    values = {"took": took, **answered(model, test, data)}
                    (folder / "answers.json").write_text(json.dumps(values), encoding="utf-8")
                    click.echo(line(folder.name, scored([values]), [took]))
    click.echo()
    for question in questions:
        pool, test = sides(data, question)
        click.echo(f"{question}: " + ", ".join(f"{n} {len(test[n])}" for n in sorted(test)))
        if question == "yes-no":
            click.echo(line("as it ships", scored([as_shipped(test, data)]), []))
        for size in sorted(sizes):
            for start in starts:
                files = sorted(out.glob(f"{question}-{start}-{size}-*/answers.json"))
                if files:
                    cells = [json.loads(one.read_text(encoding="utf-8")) for one in files]
                    took = [one["took"] for one in cells]
                    click.echo(line(f"{size} a class, {start}", scored(cells), took))


if __name__ == "__main__":
    main()
