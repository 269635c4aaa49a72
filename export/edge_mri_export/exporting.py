"""Exporting a checkpoint: the FP32 file, the INT8 file, and the proof that both answer alike."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from edge_mri import __version__
from edge_mri.atomic import atomic_path
from edge_mri.classifier import Classifier
from edge_mri.contract import Contract
from edge_mri.errors import OptionError
from edge_mri.progress import Progress
from edge_mri_export.answers import Answers, checkpoint_answers, file_answers
from edge_mri_export.calibration import ExportImages, load_images
from edge_mri_export.finishing import Finish
from edge_mri_export.graph import OPSET, body_graph, set_metadata, with_pixel_input
from edge_mri_export.outputs import check_names
from edge_mri_export.parity import Parity, compare
from edge_mri_export.quantization import RECIPE, count_quantized, quantize
from edge_mri_train.checkpoint import Checkpoint
from edge_mri_train.predictor import SEEN_SUFFIX


@dataclass(frozen=True)
class ExportConfig:
    """What an export is told.

    Attributes:
        checkpoint: What to export.
        output: Path of the FP32 file; the INT8 file is written beside it.
        quantize: Whether to write the INT8 file too.
        calibration: Folder of images to calibrate and check with; None for the run's own.
        max_drop: Largest share of answers that INT8 may change, in percent.
        outputs: What is wanted beside the logits, of `edge_mri_export.outputs.NAMES`.
        licence: Licence of the weights, as their owner states it; "" is not stated.
    """

    checkpoint: Path
    output: Path
    quantize: bool = False
    calibration: Path | None = None
    max_drop: float = 0.5
    outputs: tuple[str, ...] = ()
    licence: str = ""

    def __post_init__(self) -> None:
        check_names(self.outputs)
        if self.output.suffix != ".onnx":
            raise OptionError(f"the output is {self.output}; expected a name ending in .onnx")
        if not 0 <= self.max_drop <= 100:
            raise OptionError(f"--max-drop is {self.max_drop}; expected 0 to 100 percent")

    @property
    def int8_output(self) -> Path:
        """Path of the INT8 file."""
        return self.output.with_name(f"{self.output.stem}_int8.onnx")


@dataclass(frozen=True)
class Exported:
    """One file that was written.

    Attributes:
        path: Where it is.
        parity: How far its answers are from PyTorch's.
        quantized_layers: How many layers with weights are INT8, and of how many; None for FP32.
    """

    path: Path
    parity: Parity
    quantized_layers: tuple[int, int] | None = None


def export(config: ExportConfig, progress: Progress) -> list[Exported]:
    """Write a checkpoint as ONNX, FP32 and with `quantize` INT8.

    An INT8 file that an earlier export left beside is removed: it would answer as another network.

    Raises:
        ParityError: A file would not give PyTorch's answers; it is not written.
        CalibrationError: There are no images to check with.
    """
    checkpoint = Checkpoint.load(config.checkpoint)
    images = load_images(config.calibration, config.checkpoint, checkpoint.preprocess, progress)
    expected = checkpoint_answers(checkpoint, images.check.pixels)
    body = body_graph(checkpoint, config.outputs)
    contract = Contract(
        name=checkpoint.architecture,
        labels=checkpoint.labels,
        preprocess=checkpoint.preprocess,
        temperature=checkpoint.temperature,
        training=checkpoint.training,
        licence=config.licence,
        toolkit_version=__version__,
    )
    finish = Finish.prepare(config.outputs, images, checkpoint.preprocess, progress)
    exported = [
        _write(
            with_pixel_input(body),
            contract,
            images,
            expected,
            config.output,
            Parity.require_same_logits,
            finish,
        )
    ]
    for stale in (config.int8_output, config.int8_output.with_suffix(SEEN_SUFFIX)):
        stale.unlink(missing_ok=True)
    _write_seen(checkpoint.seen, config.output)
    if config.quantize:
        progress.say(f"wrote {config.output}; quantising")
        exported.append(_export_int8(body, contract, images, expected, config, finish))
        _write_seen(checkpoint.seen, config.int8_output)
    return exported


def _write_seen(seen: bytes | None, model: Path) -> None:
    """Write what the checkpoint remembers of its training images; of an older one nothing stays."""
    path = model.with_suffix(SEEN_SUFFIX)
    if seen is None:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(seen)


def _export_int8(
    body: onnx.ModelProto,
    contract: Contract,
    images: ExportImages,
    expected: Answers,
    config: ExportConfig,
    finish: Finish,
) -> Exported:
    model = quantize(body, images.calibration)
    layers = count_quantized(model)
    recipe: dict[str, Any] = RECIPE | {
        "quantized_layers": list(layers),
        "calibration_images": len(images.calibration),
        "calibration_source": images.source,
        "calibration_sha256": images.calibration_sha256,
        "opset": OPSET,
    }
    written = _write(
        model,
        replace(contract, precision="int8", quantization=recipe),
        images,
        expected,
        config.int8_output,
        lambda parity: parity.require_no_loss(config.max_drop),
        finish,
    )
    return replace(written, quantized_layers=layers)


def _write(
    model: onnx.ModelProto,
    contract: Contract,
    images: ExportImages,
    expected: Answers,
    path: Path,
    check: Callable[[Parity], None],
    finish: Finish,
) -> Exported:
    """Finish a model, run it as the runtime will, and keep the file only if `check` passes."""
    model, contract = finish.apply(model, contract)
    with atomic_path(path) as temporary:
        _save(model, contract, temporary)
        Classifier.load(temporary, device="cpu")  # refuses what the runtime would refuse
        check_images = images.check
        parity = compare(
            expected,
            file_answers(temporary, check_images.pixels),
            check_images.labels,
            check_images.paths,
            contract,
        )
        check(parity)
        _save(model, replace(contract, parity=parity.to_dict()), temporary)
    return Exported(path, parity)


def _save(model: onnx.ModelProto, contract: Contract, path: Path) -> None:
    set_metadata(model, contract.to_metadata())
    onnx.save(model, path)
