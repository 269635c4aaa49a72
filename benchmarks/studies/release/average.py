r"""The mean of the weights of runs that began alike, as a run.

    python benchmarks/studies/release/average.py RUN RUN... --specificity 0.9 --out RUN

Networks that were fine-tuned from the same weights lie in one valley, and their mean often stands
better on images from elsewhere than each (Wortsman et al. 2022, "Model soups", arXiv 2203.05482).
The runs share starting weights; none may have learned from what validates in the last. BatchNorm's
statistics are measured anew on training images; temperature and operating point are fitted anew on
those that validate. Beside the checkpoint stand its weights in half precision, to start trainings
from.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.data.manifest import read_manifest, write_manifest
from edge_mri_train.learning.slices import Slices
from edge_mri_train.learning.starting_share import measure_norms
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training.history import validation_line
from edge_mri_train.training.validation import validate

_EVERY = 4
"""BatchNorm's statistics are measured on each fourth training image."""


def average(runs: Sequence[Path], out: Path, specificity: float | None) -> None:
    """Write a run's folder with the mean of the best checkpoints of others.

    Args:
        runs: Folders of runs; the last gives the new one what is no weight.
        out: The new folder.
        specificity: As `edge-mri train --specificity`.
    """
    manifests = [read_manifest(run / "split.csv") for run in runs]
    validating = {row.sha256 for row in manifests[-1] if row.sample.split == "val"}
    learned = {row.sha256 for rows in manifests for row in rows if row.sample.split == "train"}
    if validating & learned:
        raise SystemExit(
            f"{len(validating & learned)} images validate, and a run learned from them"
        )
    checkpoints = [Checkpoint.load(run / "checkpoint.pt") for run in runs]
    mean = checkpoints[-1]
    states = [one.network.state_dict() for one in checkpoints]
    mean.network.load_state_dict(
        {
            name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
            for name, value in states[-1].items()
        }
    )
    progress = TerminalProgress()
    samples = [row.sample for row in manifests[-1]]
    train, val = (
        Slices.load(
            [one for one in samples if one.split == side][::step],
            mean.preprocess,
            f"{side} images",
            progress,
            mean.labels,
        )
        for side, step in (("train", _EVERY), ("val", 1))
    )
    measure_norms(mean.network, torch.from_numpy(train.pixels))
    measured = validate(mean.network, val, mean.labels, torch.device("cpu"), specificity)
    epochs = [one.training["config"]["epochs"] for one in checkpoints]
    mean.training |= {"validation": measured, "mean_of": epochs}
    mean.training["config"] |= {"specificity": specificity}
    mean.temperature, mean.tumor_threshold = measured["temperature"], measured["tumor_threshold"]
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(manifests[-1], out / "split.csv", mean.labels)
    for name in ("config.json", "seen.bin", "licence.txt"):
        if (runs[-1] / name).exists():
            shutil.copy(runs[-1] / name, out / name)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["specificity"] = specificity
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    mean.save(out / "checkpoint.pt")
    state = mean.network.state_dict()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    torch.save(halves, out / "weights.pt")
    click.echo(validation_line(measured))


def main() -> None:
    """Average the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--specificity", type=float)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    average(told.runs, told.out, told.specificity)


if __name__ == "__main__":
    main()
