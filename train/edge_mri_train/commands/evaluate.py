"""`edge-mri evaluate`: a model's figures on labelled images."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from edge_mri.commands.options import PATH, PLACE, path_option
from edge_mri.errors import OptionError
from edge_mri.labels import Vocabulary
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.remote.url import Place
from edge_mri.storage.atomic import require_writable, write_json
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.commands.options import (
    SPELLINGS,
    arch_option,
    data_option,
    layout_options,
)
from edge_mri_train.data.label_source import read_label_file
from edge_mri_train.data.layout import Layout
from edge_mri_train.data.name_pattern import NamePattern
from edge_mri_train.evaluation.evaluating import READINGS, EvaluationConfig, evaluate
from edge_mri_train.settings.config import FOLDERS


@click.command("evaluate")
@click.argument("model", required=False, type=PATH)
@data_option(PLACE, required=True)
@partial(layout_options, labelled=SPELLINGS)
@path_option(
    "--against",
    metavar="MANIFEST",
    help="Manifest of the training images.  [default: the fingerprints stored with the model]",
)
@click.option(
    "--by",
    multiple=True,
    metavar="TAG",
    help="Also report figures per value of this column of --index; may be given several times.",
)
@path_option(
    "--compare", "other", metavar="MODEL", help="Compare with another model, image by image."
)
@arch_option("a checkpoint's network")
@click.option(
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Count every image, also those that the model rejects.",
)
@path_option("--json", "json_file", help="Write all figures as JSON.")
@path_option(
    "--html",
    "html_file",
    help="Write one page with curves, confusion matrices and the worst errors as pictures.",
)
@native_stderr_silenced()
def command(
    model: Path | None,
    data: tuple[Place, ...],
    labels: str | None,
    maps: tuple[str, ...],
    pattern: str | None,
    index: Path | None,
    against: Path | None,
    by: tuple[str, ...],
    other: Path | None,
    named: tuple[str, ...],
    reject: bool,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Evaluate MODEL, a checkpoint or an ONNX file; without MODEL, the packaged model.

    Reports three readings: all images as given, without repeats and copies of training images
    (duplicate-free), and without the near-duplicate groups of training images (group-clean). If
    the folders hold training and test folders, only the test images count. Images that the model
    rejects lower the coverage and are left out of the other figures. DIR may be a URL such as
    s3://bucket/set, with the extra [cloud].
    """
    if labels == FOLDERS:
        raise OptionError(
            f"--labels {FOLDERS} makes the labels of a training, and the model has its own; "
            "say what its folders mean with --map FOLDER=LABEL, or name a file of spellings"
        )
    vocabulary = read_label_file(Path(labels)) if labels else Vocabulary()
    read = None if pattern is None else NamePattern.read(pattern)
    config = EvaluationConfig(
        model=model,
        data=data,
        layout=Layout(maps, index, read, vocabulary),
        against=against,
        by=by,
        other=other,
        reject=reject,
        named=named,
    )
    for path in (json_file, html_file):
        if path is not None:
            require_writable(path)
    result = evaluate(config, TerminalProgress())
    if json_file:
        write_json(result.report, json_file)
    if html_file:
        from edge_mri_train.evaluation.page import write_evaluation_page

        write_evaluation_page(result, html_file)
    show(_lines(result.report))


def _lines(report: dict[str, Any]) -> list[str]:
    known = report["training_images"]
    lines = [
        f"{report['model']}: {report['asked']} images; training images known from "
        + (known if known else "nowhere, give --against MANIFEST for a group-clean reading"),
        "",
        f"{'reading':<24}{'n':>6}{'answered %':>12}  {'type %':<22}{'plane %':<22}"
        + _tumor_heads(report["present"])
        + f"{'ECE %':>6}",
    ]
    for key, name in READINGS.items():
        lines.append(_reading(name, report["subsets"][key]))
    for tag, values in report["by"].items():
        lines += ["", f"by {tag}:"]
        lines += [_reading(f"  {value}", part) for value, part in values.items()]
    lines += ["", _rejections(report), *_tumors(report), *_partial(report["partial"])]
    for axis in ("type", "plane", "joint"):
        lines += ["", *_axis(axis, report[axis])]
    if "comparison" in report:
        lines += ["", *_comparison(report["comparison"])]
    return [*lines, "", "For research use, not for diagnosis."]


def _rejections(report: dict[str, Any]) -> str:
    rejected, tumor = report["rejected"], report["tumor"]
    point = ""
    if tumor:
        point = f", {report['present']} from P(any {report['present']}) = {tumor['threshold']:.3g}"
    return (
        f"answered: {report['n']} of {report['asked']} images, "
        f"{_share(report['coverage'], report['coverage_ci95'])} %; rejected as foreign "
        f"{rejected['foreign']}, as unfamiliar {rejected['unfamiliar']}, as undecided "
        f"{rejected['undecided']}; all other figures are those of the answered images{point}"
    )


def _tumor_heads(word: str | None) -> str:
    return "" if word is None else f"{word + ' sens. %':<22}{word + ' spec. %':<22}"


def _partial(partial: dict[str, Any] | None) -> list[str]:
    if partial is None:
        return []
    share = _share(partial["accuracy"], partial["ci95"])
    return [
        f"labels that name several types: one of them is said of {share} % of {partial['n']} "
        "images; they count there and for present or absent, not for the types below"
    ]


def _tumors(report: dict[str, Any]) -> list[str]:
    tumor, word = report["tumor"], report["present"]
    if tumor is None or tumor["auroc"] is None:
        return []
    low, high = tumor["auroc_ci95"] or (tumor["auroc"],) * 2
    missed = _share(tumor["confident_misses"], tumor["confident_misses_ci95"])
    return [
        f"{word} against none: AUROC {tumor['auroc']:.4f} ({low:.4f} to {high:.4f}, one image one "
        f"case); {missed} % of the images labelled {word} are said to be none with 0.9 or more"
    ]


def _reading(name: str, part: dict[str, Any] | None) -> str:
    if part is None:
        return f"{name:<24}{'-':>6}"
    type_, plane, tumor = part["type"], part["plane"], part["tumor"]
    cells = [_share(one["accuracy"], one["ci95"]) if one else "-" for one in (type_, plane)]
    if tumor:
        cells += [
            _share(tumor["sensitivity"], tumor["sensitivity_ci95"]),
            _share(tumor["specificity"], tumor["specificity_ci95"]),
        ]
    row = "".join(f"{cell:<22}" for cell in cells)
    covered = f"{part['asked']:>6}{_percent(part['coverage']):>12}"
    return f"{name:<24}{covered}  {row}{_percent(type_ and type_['ece']):>6}"


def _axis(axis: str, measured: dict[str, Any] | None) -> list[str]:
    if measured is None:
        return [f"{axis}: not labelled, or not answered by this model"]
    lines = [
        f"{axis}: accuracy {_share(measured['accuracy'], measured['ci95'])} % (95 % interval, "
        f"n = {measured['n']}), balanced {_percent(measured['balanced_accuracy'])} %, "
        f"macro F1 {_percent(measured['macro_f1'])} %, Brier {measured['brier']:.4f}",
        f"{'':<20}{'n':>6}{'sens %':>8}{'spec %':>8}{'prec %':>8}{'AUROC':>8}   answered as",
    ]
    for name, row in zip(measured["labels"], measured["confusion_matrix"], strict=True):
        one = measured["per_class"][name]
        figures = "".join(
            f"{_percent(one[key]):>8}" for key in ("sensitivity", "specificity", "precision")
        )
        area = "-" if one["auroc"] is None else f"{one['auroc']:.4f}"
        counts = " ".join(f"{count:>4}" for count in row)
        lines.append(f"{name:<20}{one['support']:>6}{figures}{area:>8}   {counts}")
    return lines


def _comparison(compared: dict[str, Any]) -> list[str]:
    lines = [
        f"{compared['first']} against {compared['second']}: same type on "
        f"{_percent(compared['agreement'])} % of {compared['n']} images; only the first right on "
        f"{compared['only_first_right']}, only the second on {compared['only_second_right']}, "
        f"McNemar's exact p = {compared['mcnemar_p']:.3g}",
        "change of sensitivity: "
        + ", ".join(
            f"{name} {100 * change:+.2f}" for name, change in compared["sensitivity_change"].items()
        )
        + " points",
    ]
    lines += [
        f"  flipped: {one['path']} ({one['label']}): {one['first']} / {one['second']}"
        for one in compared["flipped"]
    ]
    return lines


def _share(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{_percent(value)} ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
