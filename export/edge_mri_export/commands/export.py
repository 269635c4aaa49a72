"""`edge-mri export`: a checkpoint as ONNX, FP32 and INT8."""

from pathlib import Path

import click

from edge_mri.progress import TerminalProgress
from edge_mri_export.exporting import ExportConfig, export
from edge_mri_train.runs import CHECKPOINT, newest_run


@click.command("export")
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@click.option("--quantize", is_flag=True, help="Write model_int8.onnx beside model.onnx.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Images to calibrate and compare with.  [default: the run's own]",
)
@click.option(
    "--max-drop",
    type=float,
    default=0.5,
    show_default=True,
    metavar="PERCENT",
    help="Refuse an INT8 file that changes more answers than this.",
)
@click.option(
    "--outputs",
    default="",
    metavar="LIST",
    help="More outputs, comma-separated: embedding, cam.",
)
@click.option("--licence", default="", metavar="TEXT", help="Licence of the weights, such as MIT.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The FP32 file.  [default: model.onnx beside the checkpoint]",
)
def command(
    checkpoint: Path | None,
    quantize: bool,
    calibration: Path | None,
    max_drop: float,
    outputs: str,
    licence: str,
    output: Path | None,
) -> None:
    """Write CHECKPOINT, or the newest run's, as ONNX.

    Each file carries its contract and is compared with PyTorch on real images before it gets its
    name.

    Exit code: 0; 1 when a file would not give PyTorch's answers; 2 on wrong use.
    """
    source = checkpoint or newest_run(CHECKPOINT) / CHECKPOINT
    config = ExportConfig(
        checkpoint=source,
        output=output or source.with_name("model.onnx"),
        quantize=quantize,
        calibration=calibration,
        max_drop=max_drop,
        outputs=tuple(name.strip() for name in outputs.split(",") if name.strip()),
        licence=licence,
    )
    for exported in export(config, TerminalProgress()):
        parity = exported.parity
        size = f"{exported.path.stat().st_size / 1e6:.2f} MB"
        kind = "FP32"
        if exported.quantized_layers:
            kind = "INT8, {} of {} layers quantised".format(*exported.quantized_layers)
        click.echo(
            f"{exported.path}  {size}  {kind}\n"
            f"  against PyTorch on {parity.n} images: same answer on "
            f"{100 * parity.agreement:.2f} %, logits differ by at most "
            f"{parity.max_logit_difference:.2g} (mean {parity.mean_logit_difference:.2g})"
        )
