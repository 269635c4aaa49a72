"""`edge-mri export`: a checkpoint, or an ONNX classifier made elsewhere, as ONNX files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from edge_mri.commands.options import PATH, path_option
from edge_mri.errors import OptionError
from edge_mri.storage.atomic import require_writable, write_json
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_export.adopting import adopt
from edge_mri_export.adoption.class_names import read_class_names
from edge_mri_export.adoption.input_spec import InputSpec
from edge_mri_export.errors import ParityError
from edge_mri_export.exported import Exported
from edge_mri_export.exporting import ExportConfig, export
from edge_mri_export.guard.parity import MAX_DROP
from edge_mri_export.int8.ranges import METHODS
from edge_mri_export.int8.recipe import AUTO, PRECISIONS, TARGETS, QuantizationConfig
from edge_mri_export.report import lines
from edge_mri_train.commands.options import arch_option
from edge_mri_train.settings.runs import CHECKPOINT, checkpoint_file, newest_run


@click.command("export")
@click.argument("checkpoint", required=False, type=PATH)
@arch_option("its network")
@path_option(
    "--onnx",
    "onnx_file",
    help="Instead of CHECKPOINT: an ONNX classifier made elsewhere, with a float input; needs "
    "--labels, --preprocess and --calibration.",
)
@click.option(
    "--labels",
    metavar="NAMES",
    help="Classes of --onnx in the order of its outputs: comma-separated names, or a .txt or .toml "
    "file.",
)
@click.option(
    "--preprocess",
    metavar="PRESET|FILE",
    help="Input normalisation of --onnx: unit (0 to 1), imagenet, halves (-1 to 1), raw (0 to 255) "
    "or caffe; more settings after commas, as in imagenet,size=224; or a .toml file.",
)
@click.option(
    "--quantize",
    type=click.Choice(PRECISIONS),
    is_flag=False,
    flag_value="int8",
    default="none",
    help="Also write a quantised file: int8 (the flag alone), int8-qat (fine-tuned on the training "
    "images) or fp16.",
)
@click.option(
    "--target",
    type=click.Choice(list(TARGETS)),
    help="CPUs the INT8 file is for. avx512-vnni uses full 8-bit weights: more accurate, but other "
    "runtimes than edge-mri's overflow on x86 CPUs without VNNI.  [default: portable]",
)
@path_option(
    "--calibration",
    metavar="DIR",
    help="Class folders to calibrate and compare with, not test images.  [default: the run's own]",
)
@click.option(
    "--calibration-method",
    type=click.Choice((AUTO, *METHODS)),
    help="How quantisation ranges are chosen; auto tries all and keeps the best.  [default: auto]",
)
@click.option(
    "--calibration-samples",
    type=int,
    metavar="N",
    help="Training images to calibrate with, one of each class in turn.  [default: 320]",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="NODE",
    help="Keep a graph node in float; may be given several times.",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="PERCENT",
    help="Refuse a quantised file if a larger share of its answers changes, or a class loses more "
    "sensitivity.  "
    f"[default: {MAX_DROP}]",
)
@path_option(
    "--json",
    "json_file",
    help="Write the whole report as JSON, with the changed images and all that was tried; also for "
    "a refused file.",
)
@path_option(
    "--foreign",
    metavar="DIR",
    multiple=True,
    help="Folder of images that are no brain MR, such as CT and photographs; the exported model "
    "learns to reject them. May be given several times.",
)
@click.option(
    "--outputs",
    default="",
    metavar="LIST",
    help="More outputs, comma-separated: embedding, cam.",
)
@click.option(
    "--licence",
    default="",
    metavar="TEXT",
    help="Licence of the weights, such as MIT.  [default: that of the weights they started from]",
)
@path_option(
    "-o",
    "--output",
    help="The FP32 file.  [default: model.onnx beside the checkpoint, NAME_edge.onnx beside "
    "NAME.onnx]",
)
def command(
    checkpoint: Path | None,
    named: tuple[str, ...],
    onnx_file: Path | None,
    labels: str | None,
    preprocess: str | None,
    quantize: str,
    target: str | None,
    calibration: Path | None,
    calibration_method: str | None,
    calibration_samples: int | None,
    exclude: tuple[str, ...],
    max_drop: float | None,
    json_file: Path | None,
    foreign: tuple[Path, ...],
    outputs: str,
    licence: str,
    output: Path | None,
) -> None:
    """Export CHECKPOINT, a file or the folder of a run, as ONNX; without it the newest run's.

    With --onnx: a classifier made elsewhere. Each file carries its contract. Before it is put in
    place it is compared on real images with PyTorch, or with that classifier.

    Exit code: 0; 1 when a file would not give PyTorch's answers; 2 for a usage error.
    """
    quantization = QuantizationConfig(
        quantize, target, calibration_method, calibration_samples, exclude
    )
    adopted = {"--labels": labels, "--preprocess": preprocess, "--calibration": calibration}
    if onnx_file is not None:
        _require_adoption(checkpoint, named, adopted)
        source, default = onnx_file, onnx_file.with_name(f"{onnx_file.stem}_edge.onnx")
    else:
        if labels or preprocess:
            raise OptionError("--labels and --preprocess are of a model given with --onnx FILE")
        source = checkpoint_file(checkpoint or newest_run(CHECKPOINT))
        default = source.with_name("model.onnx")
    config = ExportConfig(
        checkpoint=source,
        output=output or default,
        quantization=quantization,
        calibration=calibration,
        max_drop=max_drop,
        outputs=tuple(name.strip() for name in outputs.split(",") if name.strip()),
        licence=licence,
        named=named,
        foreign=foreign,
    )
    if json_file is not None:
        require_writable(json_file)
    try:
        if labels is not None and preprocess is not None:
            vocabulary, spec = read_class_names(labels), InputSpec.parse(preprocess)
            _tell(adopt(config, vocabulary, spec, TerminalProgress()), json_file)
        else:
            _tell(export(config, TerminalProgress()), json_file)
    except ParityError as error:
        _tell(error.exported, json_file)
        raise


def _require_adoption(
    checkpoint: Path | None, named: Sequence[str], adopted: Mapping[str, object]
) -> None:
    if checkpoint is not None:
        raise OptionError(f"--onnx takes the place of {checkpoint}; give one of the two")
    if named:
        raise OptionError("--arch is of a checkpoint, and --onnx is given; leave it out")
    missing = [name for name, value in adopted.items() if value is None]
    if missing:
        raise OptionError(f"--onnx needs {', '.join(missing)} too")


def _tell(exported: Sequence[Exported], json_file: Path | None) -> None:
    """Print and write what is to be said of files, written or refused."""
    for one in exported:
        show(lines(one))
    if json_file is not None:
        write_json([one.to_report() for one in exported], json_file)
