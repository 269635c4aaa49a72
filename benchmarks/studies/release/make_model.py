r"""Makes the packaged model, from image sets to its card: hours on two cores.

    python benchmarks/studies/release/make_model.py DATA --out build/model [--without SET]…

DATA holds the folders that `sets.toml` beside this file names, and `foreign/`, images that are no
brain MR. Three trainings go on from the weights of the model of version 0.1.0 (`start.pt`), one of
them without f44, and the mean of what they reach is the model (`average.py`). The images that 0.1.0
learned from are on the training side again (`partition.csv.gz`); the sets that are new since then
were divided by `edge-mri split`. Each step is one command, printed before it runs; a step whose
result is there is passed over, and a training that was stopped goes on. What is made stays below
OUT; putting it into the package is the last line that is printed. `--without` makes a
model that goes on without some sets, and measures what it says of them. Only of a set that is new
since 0.1.0 does that tell what the recipe is worth on a source not trained on.
"""

import argparse
import csv
import gzip
import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
STUDIES = HERE.parent
ROOT = STUDIES.parents[1]
TOOL = ("-m", "edge_mri")
PACKAGED = "runtime/edge_mri/models"
WEIGHTS = "train/edge_mri_train/weights/edge_net.pt"
LICENCE = "CC-BY-NC-SA-4.0"
TRAININGS = ((36, ("f44",)), (16, ()), (36, ()))
"""Epochs, and the sets that are left out; the last sees all that the model does."""
SPECIFICITY = 0.9
TESTS = ("nickparvar", "artemis")
PATIENTS = "tcga-lgg"
AXIAL = ("--map", "tumor=glioma_axial", "--map", "no_tumor=no_tumor_axial")


class Making:
    """The steps, in one folder.

    Args:
        data: Where the sets lie.
        out: What is made.
        options: Further options of the training.
        without: Sets that are measured alone.
    """

    def __init__(
        self, data: Path, out: Path, options: Sequence[str] = (), without: Sequence[str] = ()
    ) -> None:
        self.data, self.out, self.options, self.without = data.resolve(), out, options, without
        self.figures = out / "figures"
        self.figures.mkdir(parents=True, exist_ok=True)

    def everything(self) -> None:
        """Run all steps that are left."""
        manifest, run = self.out / "split.csv", self.out / "run"
        sets = self._anchored(HERE / "sets.toml")
        self._divide(manifest, self.without)
        self._train(run)
        model = self.out / "edge_mri_int8.onnx"
        export = ("--quantize", "--foreign", self.data / "foreign", "--licence", LICENCE)
        exported = (run / "checkpoint.pt", *export, "--output", self.out / "edge_mri.onnx")
        self._make(model, *TOOL, "export", *exported)
        self._measure_sources(model, sets, manifest)
        if self.without:
            return
        self._make(self.out / f"{model.stem}.golden.json", *TOOL, "check", model, "--write")
        self._measure(model, manifest)
        others = self.figures / "other_lesions.json"
        asked = (self._anchored(HERE / "other_lesions.toml"), "--by", "kind", "--json", others)
        self._make(others, STUDIES / "accuracy/measure_sources.py", model, *asked)
        card = self.out / "model-card.md"
        made = (HERE / "model_card.py", model, "--figures", self.figures, "--out", card)
        self._make(card, *made)
        click.echo(
            f"To ship it: cp {run / 'weights.pt'} {WEIGHTS}, and cp {model.stem}* {PACKAGED}"
        )

    def _train(self, run: Path) -> None:
        """Make the runs, and the run of their mean weights."""
        if (run / "checkpoint.pt").exists():
            return
        parts: list[Path] = []
        for epochs, without in TRAININGS:
            left_out = sorted({*without, *self.without})
            part = self.out / "-".join(("run", str(epochs), *left_out))
            if part in parts:
                continue
            parts.append(part)
            manifest = self.out / f"{part.name}.csv"
            self._divide(manifest, left_out)
            if (part / "config.json").exists():
                self._run(*TOOL, "train", "--resume", "--out", part)
            else:
                what = ("--recipe", "edge_net", "--init-weights", HERE / "start.pt")
                told = ("--epochs", epochs, *self.options, "--out", part)
                self._run(*TOOL, "train", "--split", manifest, *what, *told)
        self._run(HERE / "average.py", *parts, "--specificity", SPECIFICITY, "--out", run)

    def _divide(self, manifest: Path, without: Sequence[str]) -> None:
        """Write a manifest: the partition, with the sets as they lie in the data folder."""
        with gzip.open(HERE / "partition.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if unknown := set(without) - {row["set"] for row in rows}:
            raise SystemExit(f"no such set: {', '.join(sorted(unknown))}")
        with manifest.open("w", encoding="utf-8", newline="") as file:
            columns = ("set", "path", "sha256", "type", "plane", "group", "split")
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            for row in rows:
                if row["set"] not in without:
                    content = (self.data / row["set"] / row["path"]).read_bytes()
                    row["set"] = os.path.relpath(self.data / row["set"], self.out)
                    writer.writerow({**row, "sha256": hashlib.sha256(content).hexdigest()})

    def _anchored(self, file: Path) -> Path:
        """Write a file of sets as they lie in the data folder."""
        text = file.read_text(encoding="utf-8")
        text = re.sub(r'^(folder|index) = "', rf'\1 = "{self.data.as_posix()}/', text, flags=re.M)
        (self.out / file.name).write_text(text, encoding="utf-8")
        return self.out / file.name

    def _measure_sources(self, model: Path, sets: Path, manifest: Path) -> None:
        name = "_".join(("sources_without", *self.without)) if self.without else "sources"
        out = self.figures / f"{name}.json"
        script = STUDIES / "accuracy/measure_sources.py"
        self._make(out, script, model, sets, "--manifest", manifest, "--json", out)

    def _measure(self, model: Path, manifest: Path) -> None:
        figures, data = self.figures, self.data
        for name in TESTS:
            out = figures / f"{name}_Testing.json"
            what = ("--data", data / name / "Testing", "--json", out)
            self._make(out, *TOOL, "evaluate", model, *what)
        out = figures / f"{PATIENTS},_patients_not_trained_on.json"
        index = ("--index", self._validating(manifest), "--by", "contrast")
        what = ("--data", data / PATIENTS, *index, *AXIAL, "--json", out)
        self._make(out, *TOOL, "evaluate", model, *what)
        accuracy, lesions = STUDIES / "accuracy", STUDIES / "lesions"
        known = ("--manifest", manifest)
        scripts: dict[Path, tuple[object, ...]] = {
            accuracy / "measure_rejection.py": (model, *known, "--foreign", data / "foreign"),
            accuracy / "list_failures.py": (model, "--data", data / "nickparvar/Testing"),
            lesions / "measure_heatmaps.py": (model, "--data", data / "cheng", *known),
            lesions / "measure_pasting.py": (model, *known),
        }
        for script, asked in scripts.items():
            out = figures / f"{script.stem.partition('_')[2]}.json"
            self._make(out, script, *asked, "--json", out)

    def _validating(self, manifest: Path) -> Path:
        """Write the index of the patients that validate."""
        with manifest.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
        paths = {row["path"] for row in rows if Path(row["set"]).name == PATIENTS}
        out = self.out / f"{PATIENTS}.csv"
        with (
            (self.data / PATIENTS / "index.csv").open(encoding="utf-8", newline="") as file,
            out.open("w", encoding="utf-8", newline="") as written,
        ):
            index = csv.DictReader(file)
            writer = csv.DictWriter(written, index.fieldnames or ())
            writer.writeheader()
            writer.writerows(row for row in index if row["path"] in paths)
        return out

    def _make(self, result: Path, *command: object) -> None:
        if not result.exists():
            self._run(*command)

    @staticmethod
    def _run(*command: object) -> None:
        words = [str(word) for word in command]
        click.echo("$ " + shlex.join(["python", *words]))
        subprocess.run([sys.executable, *words], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/model"))
    parser.add_argument("--train", default="", help="further options of `edge-mri train`")
    parser.add_argument("--without", action="append", default=[], metavar="SET")
    told = parser.parse_args(arguments)
    Making(told.data, told.out, shlex.split(told.train), told.without).everything()


if __name__ == "__main__":
    main()
