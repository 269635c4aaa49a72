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
from edge_mri_export.adoption.input_spec import PRESETS, InputSpec
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
    help="Instead of CHECKPOINT: a classifier made elsewhere, with a float input; needs --labels, "
    "--preprocess and --calibration.",
)
@click.option(
    "--labels",
    metavar="NAMES",
    help="Its classes in the order of its outputs: names with commas between, or a .txt or .toml "
    "file.",
)
@click.option(
    "--preprocess",
    metavar="PRESET|FILE",
    help=f"What it takes of a grey image: {', '.join(PRESETS)}, with more behind commas as in "
    "imagenet,size=224, or a .toml file.",
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
    help="CPUs the INT8 file is for; avx512-vnni is finer, and on x86 without VNNI wrong in other "
    "runtimes than edge-mri's.  [default: portable]",
)
@path_option(
    "--calibration",
    metavar="DIR",
    help="Class folders to calibrate and compare with, no test images.  [default: the run's own]",
)
@click.option(
    "--calibration-method",
    type=click.Choice((AUTO, *METHODS)),
    help="How ranges are chosen; auto tries all and keeps the best.  [default: auto]",
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
    help="Leave a graph node in float; may be given several times.",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="PERCENT",
    help="Refuse a quantised file that changes more answers, or costs a class more sensitivity.  "
    f"[default: {MAX_DROP}]",
)
@path_option(
    "--json",
    "json_file",
    help="The whole report, flipped images and all that was tried; of a refused file too.",
)
@path_option(
    "--foreign",
    metavar="DIR",
    multiple=True,
    help="Images that are no brain MR, such as CT and photographs: the file learns to tell them "
    "from brains. May be given several times.",
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
    help="The FP32 file.  [default: model.onnx beside the checkpoint; NAME_edge.onnx by NAME.onnx]",
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
    """Write CHECKPOINT, a file or the folder of a run, as ONNX; without it the newest run's.

    With --onnx: a classifier made elsewhere. Each file carries its contract and is compared with
    PyTorch, or with that classifier, on real images before it gets its name.

    Exit code: 0; 1 when a file would not give PyTorch's answers; 2 on wrong use.
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
            space, spec = read_class_names(labels), InputSpec.parse(preprocess)
            _tell(adopt(config, space, spec, TerminalProgress()), json_file)
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
