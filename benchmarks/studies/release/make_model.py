r"""Makes the packaged model, from image sets to its card: hours on two cores.

    python benchmarks/studies/release/make_model.py DATA --out build/model

DATA holds the folders that `sets.toml` beside this file names, and `foreign/`, images that are no
brain MR. Each step is one command, printed before it runs; a step whose result is there is passed
over, and a training that was stopped goes on. What is made stays below OUT; putting it into the
package is the last line that is printed.
"""

import argparse
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
LICENCE = "CC-BY-NC-SA-4.0"
TESTS = ("nickparvar", "artemis")


class Making:
    """The steps, in one folder.

    Args:
        data: Where the sets lie.
        out: What is made.
        options: Further options of the training.
    """

    def __init__(self, data: Path, out: Path, options: Sequence[str] = ()) -> None:
        self.data, self.out, self.options = data.resolve(), out, options
        self.figures = out / "figures"
        self.figures.mkdir(parents=True, exist_ok=True)

    def everything(self) -> None:
        """Run all steps that are left."""
        sets, manifest, run = self.out / "sets.toml", self.out / "split.csv", self.out / "run"
        sets.write_text(self._anchored((HERE / "sets.toml").read_text(encoding="utf-8")))
        faults = ROOT / "docs/label-faults.csv"
        keep = ("--keep-test", "--as-published", "--fractions", "0.85,0.15")
        self._make(manifest, *TOOL, "split", sets, *keep, "--leave-out", faults, "--out", manifest)
        self._train(manifest, run)
        model = self.out / "edge_mri_int8.onnx"
        export = ("--quantize", "--foreign", self.data / "foreign", "--licence", LICENCE)
        self._make(model, *TOOL, "export", run / "checkpoint.pt", *export, "--output", model)
        self._measure(model, sets, manifest)
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

    def _measure(self, model: Path, sets: Path, manifest: Path) -> None:
        figures, data = self.figures, self.data
        for name in TESTS:
            out = figures / f"{name}_Testing.json"
            what = ("--data", data / name / "Testing", "--json", out)
            self._make(out, *TOOL, "evaluate", model, *what)
        accuracy, lesions = STUDIES / "accuracy", STUDIES / "lesions"
        known = ("--manifest", manifest)
        for script, what in {
            accuracy / "measure_sources.py": (model, sets, *known),
            accuracy / "measure_rejection.py": (model, *known, "--foreign", data / "foreign"),
            accuracy / "list_failures.py": (model, "--data", data / "nickparvar/Testing"),
            lesions / "measure_heatmaps.py": (model, "--data", data / "cheng", *known),
            lesions / "measure_pasting.py": (model, *known),
        }.items():
            out = figures / f"{script.stem.partition('_')[2]}.json"
            self._make(out, script, *what, "--json", out)

    def _anchored(self, text: str) -> str:
        return re.sub(r'^(folder|index) = "', rf'\1 = "{self.data.as_posix()}/', text, flags=re.M)

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
    told = parser.parse_args(arguments)
    Making(told.data, told.out, shlex.split(told.train)).everything()


if __name__ == "__main__":
    main()
