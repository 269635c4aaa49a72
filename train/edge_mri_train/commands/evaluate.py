"""`edge-mri evaluate`: a model's figures on labelled images."""

import json
from pathlib import Path
from typing import Any

import click

from edge_mri.atomic import atomic_path
from edge_mri.progress import TerminalProgress
from edge_mri_train.evaluation import evaluate


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.option(
    "--data",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A folder with class folders; may be given several times.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file."
)
def command(model: Path, data: tuple[Path, ...], json_file: Path | None) -> None:
    """Measure MODEL, a checkpoint or an ONNX file, on labelled images.

    Where a folder holds both training and test folders, only the test images count.
    """
    result = evaluate(model, data, TerminalProgress())
    if json_file:
        with atomic_path(json_file) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    click.echo(_text(result))


def _text(result: dict[str, Any]) -> str:
    lines = [f"{result['model']}: {result['n']} images"]
    for axis in ("type", "plane", "joint"):
        measured = result[axis]
        if measured is None:
            lines.append(f"\n{axis}: not labelled, or not answered by this model")
            continue
        low, high = measured["ci95"]
        lines += [
            f"\n{axis}: accuracy {_percent(measured['accuracy'])} % "
            f"(95 % interval {_percent(low)} to {_percent(high)}, n = {measured['n']}), "
            f"balanced {_percent(measured['balanced_accuracy'])} %, "
            f"macro F1 {_percent(measured['macro_f1'])} %",
            f"{'':<20}{'n':>6}{'sens %':>8}{'spec %':>8}{'prec %':>8}   answered as",
        ]
        for name, row in zip(measured["labels"], measured["confusion_matrix"], strict=True):
            one = measured["per_class"][name]
            figures = "".join(
                f"{_percent(one[key]):>8}" for key in ("sensitivity", "specificity", "precision")
            )
            lines.append(
                f"{name:<20}{one['support']:>6}{figures}   " + " ".join(f"{c:>4}" for c in row)
            )
    lines.append("\nFor research use, not for diagnosis.")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
