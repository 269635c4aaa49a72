"""`edge-mri infer`: classify files and folders of images. What it does is `edge_mri.inference`."""

from pathlib import Path
from typing import Any

import click

from edge_mri.commands.option_groups import GroupedCommand, grouped
from edge_mri.commands.options import (
    MODEL,
    OUTPUT,
    PATH,
    PLACE,
    DatasetPlace,
    device_option,
    limit_options,
    signature_option,
)
from edge_mri.images.pixels.acquired import ACQUIRED, planes_named
from edge_mri.inference import ENGINES, InferConfig, infer
from edge_mri.records.output import WRITERS
from edge_mri.records.part_file import FORMATS as PART_FORMATS

_answer, _write, _work, _limit = (
    grouped(heading) for heading in ("Answers", "What is written", "How it runs", "Limits")
)


@click.command("infer", cls=GroupedCommand)
@click.argument("paths", nargs=-1, required=True, type=PLACE, metavar="PATH…")
@_answer("--model", type=MODEL, metavar="MODEL", help="An ONNX file.  [default: the shipped one]")
@_answer(
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Answer every image, also those the model would rather not.",
)
@signature_option(_answer)
@_answer(
    "--trust-pixels",
    is_flag=True,
    help="Judge an image by its pixels alone, also where its DICOM header names another modality "
    "than MR, or another body part than a head.",
)
@_answer(
    "--planes",
    metavar="PLANES",
    default=ACQUIRED[0],
    show_default=True,
    help="Of a NIfTI volume: acquired (those whose resolution is real), all, or names such as "
    "axial,coronal.",
)
@_write(
    "--format",
    type=click.Choice([*WRITERS, PART_FORMATS[0]]),
    help="Format of the records.  [default: by the suffix of --output (.json, .jsonl, .csv), "
    "else table; of a dataset parquet, the other is jsonl]",
)
@_write(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="FILE|DIR/|URL",
    help="Where the records go; - for stdout; a folder behind a slash, or a URL: a dataset.  "
    "[default: stdout]",
)
@_write(
    "--resume",
    is_flag=True,
    help="Go on with the --output of a run that ended early (jsonl, csv, a dataset).",
)
@_write("--audit", is_flag=True, help="With each record hashes, versions, provider and time.")
@_write(
    "--heatmaps",
    type=PATH,
    metavar="DIR",
    help="Each image with the model's map over it: an explanation, not evidence. "
    "Outside of the folders to classify.",
)
@_write(
    "--report",
    type=PATH,
    metavar="FILE.html",
    help="One page for people: pictures, and a table to sort and filter.",
)
@_write(
    "--volumes",
    type=PATH,
    metavar="FILE",
    help="A summary of each volume and series; as JSON or CSV by the suffix, else JSON lines.",
)
@device_option(_work)
@_work(
    "--providers",
    metavar="LIST",
    help="onnxruntime's execution providers in place of a device, such as openvino,cpu.",
)
@_work("--low-power", is_flag=True, help="One thread, no spinning, no memory held in reserve.")
@_work(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that decode and infer.  [default: the cores this process has]",
)
@_work(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Files a thread, or a worker of --engine ray, takes at a time; of a dataset, a part.  "
    "[default: what suits the device]",
)
@_work(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="What spreads the work; ray: over a cluster.",
)
@limit_options(_limit)
def command(
    providers: str | None, planes: str, output: Path | DatasetPlace | None, **options: Any
) -> None:
    r"""Classify image files, and the images below folders.

    A PATH is a file, a folder, a pattern in quotes such as '**/*.png', or - for a list of files on
    stdin, separated by newlines or null characters (find DIR -type f), in UTF-16 or UTF-32 behind a
    byte-order mark; one that is still being written is answered path by path, but with --engine ray
    when it ends, or by 100,000 paths. JPEG, PNG, TIFF, BMP and WebP; DICOM with the extra [dicom],
    NIfTI with [nifti]. Every page, frame and slice is a record.

    Records go to stdout or to a file, progress and a summary to stderr. No image, and no input, is
    written over. A file that cannot be used becomes a record with status `error`, and the rest
    goes on. An image that the model knows it should not judge becomes one with status `rejected`:
    `foreign`, no brain MR slice as it knows them; `unfamiliar`, unlike those that it learned from;
    or `undecided`, too close to call.

    A PATH may be a URL, such as s3://bucket/folder or https://…, with the extra [cloud]; a path of
    this machine that looks like one is written ./s3:…. A dataset is a folder or URL of parts, each
    written whole where its images were answered, by --engine ray on any machine of the cluster.

    JSON lines and CSV go into the --output file record by record, and --resume goes on where it
    ends; a table or JSON appears when it is complete. SIGINT and SIGTERM finish the record at hand.

    A second run that is to write to the same file is refused. A byte of a file name that is no
    UTF-8 is spelled as in \xff, and each backslash of that name doubled. In CSV, text that a
    spreadsheet would run as a formula has an apostrophe in front.

    Exit code: 0; 1 when some files failed; 2 on wrong use; 130 or 143 when stopped by a signal. A
    rejected image is no failure.
    """
    listed = tuple(name for name in (providers or "").split(",") if name)
    dataset = output.place if isinstance(output, DatasetPlace) else None
    file = None if isinstance(output, DatasetPlace) else output
    config = InferConfig(
        providers=listed, planes=planes_named(planes), output=file, dataset=dataset, **options
    )
    code = infer(config)
    if code:
        raise SystemExit(code)
