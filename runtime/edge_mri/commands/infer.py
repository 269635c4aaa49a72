"""`edge-mri infer`: classify files and folders of images. What it does is `edge_mri.inference`."""

from pathlib import Path
from typing import Any

import click

from edge_mri.commands.option_groups import GroupedCommand, grouped
from edge_mri.images import Limits
from edge_mri.images.limits import BYTES_VARIABLE, PIXELS_VARIABLE
from edge_mri.inference import ENGINES, InferConfig, infer
from edge_mri.output import WRITERS
from edge_mri.providers import DEVICES

_FILE = click.Path(path_type=Path)
_ANSWERS, _OUTPUT, _WORK, _LIMITS = "Answers", "What is written", "How it runs", "Limits"


@click.command("infer", cls=GroupedCommand)
@click.argument("paths", nargs=-1, required=True, type=_FILE, metavar="PATH…")
@grouped(
    _ANSWERS,
    "--model",
    type=_FILE,
    metavar="FILE",
    help="An ONNX file.  [default: the shipped one]",
)
@grouped(
    _ANSWERS,
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Answer every image, also those the model would rather not.",
)
@grouped(
    _OUTPUT,
    "--format",
    "format",
    type=click.Choice(list(WRITERS)),
    default="table",
    show_default=True,
    help="Of the records.",
)
@grouped(
    _OUTPUT,
    "-o",
    "--output",
    type=_FILE,
    metavar="FILE",
    help="Where the records go.  [default: stdout]",
)
@grouped(
    _OUTPUT,
    "--resume",
    is_flag=True,
    help="Go on with the --output of a run that ended early (jsonl, csv).",
)
@grouped(
    _OUTPUT,
    "--audit",
    is_flag=True,
    help="With each record hashes, versions, provider and time.",
)
@grouped(
    _OUTPUT,
    "--heatmaps",
    type=_FILE,
    metavar="DIR",
    help="Each image with the model's map over it: an explanation, not evidence.",
)
@grouped(
    _OUTPUT,
    "--report",
    "report",
    type=_FILE,
    metavar="FILE",
    help="One HTML page for people: pictures, and a table to sort and filter.",
)
@grouped(
    _OUTPUT,
    "--volumes",
    type=_FILE,
    metavar="FILE",
    help="A summary of each volume and series, as JSON lines.",
)
@grouped(
    _WORK,
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="auto: CUDA where it works.",
)
@grouped(
    _WORK,
    "--providers",
    metavar="LIST",
    help="onnxruntime's execution providers in place of a device, such as openvino,cpu.",
)
@grouped(
    _WORK,
    "--low-power",
    is_flag=True,
    help="One thread, no spinning, no memory held in reserve.",
)
@grouped(
    _WORK,
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that decode and infer.  [default: the cores this process has]",
)
@grouped(
    _WORK,
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Files a thread, or a worker of --engine ray, takes at a time.  "
    "[default: what suits the device]",
)
@grouped(
    _WORK,
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="What spreads the work; ray: over a cluster.",
)
@grouped(
    _LIMITS,
    "--max-pixels",
    type=click.IntRange(1),
    default=Limits.max_pixels,
    metavar="N",
    show_default=True,
    envvar=PIXELS_VARIABLE,
    show_envvar=True,
    help="Refuse an image or a volume of more pixels.",
)
@grouped(
    _LIMITS,
    "--max-bytes",
    type=click.IntRange(1),
    default=Limits.max_bytes,
    metavar="N",
    show_default=True,
    envvar=BYTES_VARIABLE,
    show_envvar=True,
    help="Refuse a file of more bytes.",
)
def command(providers: str | None, **options: Any) -> None:
    """Classify image files, and the images below folders.

    A PATH is a file, a folder, a pattern in quotes such as '**/*.png', or - for a list of paths on
    stdin, separated by newlines or null characters. JPEG, PNG, TIFF, BMP and WebP; DICOM with the
    extra [dicom], NIfTI with [nifti]. Every page, frame and slice is a record.

    Records go to stdout or to a file, progress and a summary to stderr. A file that cannot be
    used becomes a record with status `error`, and the rest goes on. An image that the model knows
    it should not judge becomes one with status `rejected`: `foreign`, no brain MR slice as it
    knows them, or `undecided`, too close to call.

    JSON lines and CSV go into the --output file record by record, and --resume goes on where it
    ends; a table or JSON appears when it is complete. SIGINT and SIGTERM finish the record at hand.

    Exit code: 0; 1 when some files failed; 2 on wrong use; 130 or 143 when stopped by a signal. A
    rejected image is no failure.
    """
    listed = tuple(name for name in (providers or "").split(",") if name)
    code = infer(InferConfig(providers=listed, **options))
    if code:
        raise SystemExit(code)
