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
@_answer(
    "--model", type=MODEL, metavar="MODEL", help="An ONNX file.  [default: the packaged model]"
)
@_answer(
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Classify every image, also those that the model would reject.",
)
@signature_option(_answer)
@_answer(
    "--trust-pixels",
    is_flag=True,
    help="Ignore DICOM headers that name another modality than MR or another body part than the "
    "head.",
)
@_answer(
    "--planes",
    metavar="PLANES",
    default=ACQUIRED[0],
    show_default=True,
    help="Planes in which a NIfTI volume is cut: acquired (those with real resolution, not across "
    "thick slices), all, or names such as axial,coronal.",
)
@_write(
    "--format",
    type=click.Choice([*WRITERS, PART_FORMATS[0]]),
    help="Format of the records.  [default: by the suffix of --output (.json, .jsonl, .csv), "
    "else table; for a dataset parquet (jsonl also possible)]",
)
@_write(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="FILE|DIR/|URL",
    help="Where to write the records: a file, - for stdout, or a dataset (a folder with a trailing "
    "slash, or a URL).  [default: stdout]",
)
@_write(
    "--resume",
    is_flag=True,
    help="Continue an interrupted run: skip what --output already holds (jsonl, csv, dataset).",
)
@_write(
    "--audit",
    is_flag=True,
    help="Add to each record: hashes, versions, execution provider and time.",
)
@_write(
    "--heatmaps",
    type=PATH,
    metavar="DIR",
    help="Write each image with the model's map over it: an explanation, not evidence. "
    "DIR must lie outside the folders to classify.",
)
@_write(
    "--report",
    type=PATH,
    metavar="FILE.html",
    help="Write one HTML page with pictures, and a table to sort and filter.",
)
@_write(
    "--volumes",
    type=PATH,
    metavar="FILE",
    help="Also write one summary per volume or DICOM series (JSON or CSV by the suffix, else "
    "JSON lines).",
)
@device_option(_work)
@_work(
    "--providers",
    metavar="LIST",
    help="Execution providers of onnxruntime instead of a device, such as openvino,cpu.",
)
@_work("--low-power", is_flag=True, help="Use one thread, no busy waiting, keep no spare memory.")
@_work(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that decode and infer.  [default: the cores available to this process]",
)
@_work(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Files that a thread, or a worker of --engine ray, takes at once; for a dataset, files in "
    "one part.  [default: what suits the device]",
)
@_work(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="local: threads on this machine; ray: workers of a Ray cluster.",
)
@limit_options(_limit)
def command(
    providers: str | None, planes: str, output: Path | DatasetPlace | None, **options: Any
) -> None:
    r"""Classify images: files, folders, volumes and URLs.

    A PATH is a file, a folder, or a pattern in quotes such as '**/*.png'. With the extra [cloud] it
    may be a URL, such as s3://bucket/folder or https://…; a local path that looks like one is
    written ./s3:…. Formats: JPEG, PNG, TIFF, BMP and WebP; DICOM with the extra [dicom], NIfTI with
    [nifti]. Every page, frame and slice gets a record.

    The PATH - reads a list of files from stdin, one per line (find DIR -type f), or separated by
    null characters. UTF-16 and UTF-32 need a byte-order mark. A list that is still being written is
    answered as it comes; with --engine ray, in blocks of 100,000 paths.

    Records go to stdout or to --output, progress and a summary to stderr. No image and no other
    input is overwritten. A file that cannot be used gets a record with status `error`, and the run
    goes on. An image that the model cannot classify reliably gets status `rejected` and a reason:
    `foreign` (no brain MR slice), `unfamiliar` (unlike the training images) or `undecided` (too
    close to the threshold).

    JSON lines and CSV are written to --output record by record, and --resume continues them; a
    table or JSON file appears when it is complete. SIGINT and SIGTERM finish the current record.
    A second run that would write to the same file is refused.

    --output with a trailing slash, or a URL, writes a dataset: a folder of part files. With
    --engine ray each worker writes its own parts.

    A file name that is not valid UTF-8 is escaped: \xff for a byte, \\ for a backslash. In CSV,
    text that a spreadsheet would run as a formula has an apostrophe in front.

    Exit code: 0; 1 when some files failed; 2 for a usage error; 130 or 143 when stopped by a
    signal. A rejected image is no failure.
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
