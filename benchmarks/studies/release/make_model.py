r"""Makes the packaged model, from image sets to its card: hours on two cores.

    python benchmarks/studies/release/make_model.py DATA --out build/model [--without SET]…

DATA holds the folders that `sets.toml` beside this file names, and `foreign/`, images that are no
brain MR. Each step is one command, printed before it runs; a step whose result is there is passed
over, and a training that was stopped goes on. What is made stays below OUT; putting it into the
package is the last line that is printed. `--without` makes a model that learns nothing from some
sets, and measures what it says of them: what the recipe is worth on sources not trained on.
"""

import argparse
import csv
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
STUDIES = HERE.parent
ROOT = STUDIES.parents[1]
TOOL = ("-m", "edge_mri")
PACKAGED = "runtime/edge_mri/models"
LICENCE = "CC-BY-NC-SA-4.0"
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
        sets, learned = self._write_sets()
        faults = ROOT / "docs/label-faults.csv"
        keep = ("--keep-test", "--as-published", "--fractions", "0.85,0.15")
        split = (*TOOL, "split", learned, *keep, "--leave-out", faults, "--out", manifest)
        self._make(manifest, *split)
        self._train(manifest, run)
        model = self.out / "edge_mri_int8.onnx"
        export = ("--quantize", "--foreign", self.data / "foreign", "--licence", LICENCE)
        exported = (run / "checkpoint.pt", *export, "--output", self.out / "edge_mri.onnx")
        self._make(model, *TOOL, "export", *exported)
        self._measure_sources(model, sets, manifest)
        if self.without:
            return
        self._measure(model, manifest)
        others = self.figures / "other_lesions.json"
        asked = (self._anchored(HERE / "other_lesions.toml"), "--by", "kind", "--json", others)
        self._make(others, STUDIES / "accuracy/measure_sources.py", model, *asked)
        card = self.out / "model-card.md"
        made = (HERE / "model_card.py", model, "--figures", self.figures, "--out", card)
        self._make(card, *made)
        weights = (HERE / "restore_weights.py", model)
        click.echo(f"To ship it: {shlex.join(map(str, weights))}, and cp {model.stem}* {PACKAGED}")

    def _train(self, manifest: Path, run: Path) -> None:
        if (run / "stages.json").exists():
            self._run(*TOOL, "train", "--resume", "--out", run)
        else:
            what = ("--recipe", "edge_net", "--split", manifest, *self.options)
            self._run(*TOOL, "train", *what, "--out", run)

    def _write_sets(self) -> tuple[Path, Path]:
        """Write all sets, and those that are learned from."""
        text = self._anchored(HERE / "sets.toml").read_text(encoding="utf-8")
        first, *tables = re.split(r"^(?=\[\[set\]\])", text, flags=re.M)
        names = [Path(tomllib.loads(one)["set"][0]["folder"]).name for one in tables]
        if unknown := set(self.without) - set(names):
            raise SystemExit(f"no such set: {', '.join(sorted(unknown))}; there are {names}")
        kept = [one for name, one in zip(names, tables, strict=True) if name not in self.without]
        learned = self.out / "learned.toml"
        learned.write_text("".join([first, *kept]), encoding="utf-8")
        return self.out / "sets.toml", learned

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
