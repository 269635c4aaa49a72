"""Exporting a checkpoint: FP32, quantised, and the proof that both give PyTorch's answers."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort

from edge_mri import __version__
from edge_mri.errors import OptionError
from edge_mri.images import ImageFiles
from edge_mri.model.contract import Contract
from edge_mri.storage.atomic import require_writable
from edge_mri.terminal.progress import Progress
from edge_mri_export.errors import ParityError
from edge_mri_export.exported import Exported, Writer, remove
from edge_mri_export.finishing import Finish
from edge_mri_export.graph.graph import OPSET, body_graph, with_pixel_input
from edge_mri_export.graph.half import half
from edge_mri_export.graph.layers import count_quantized
from edge_mri_export.graph.outputs import check_names
from edge_mri_export.graph.packing import packed
from edge_mri_export.graph.work import macs
from edge_mri_export.guard.answers import Answers, checkpoint_answers
from edge_mri_export.guard.calibration import (
    FEW_IMAGES,
    ExportImages,
    load_images,
    require_every_class,
)
from edge_mri_export.guard.parity import MAX_DROP, REFERENCE, Parity
from edge_mri_export.int8.recipe import QuantizationConfig
from edge_mri_export.int8.search import Search
from edge_mri_export.int8.trial import Trial
from edge_mri_train.evaluation.predictor import SEEN_KEY
from edge_mri_train.networks.checkpoint import Checkpoint


@dataclass(frozen=True)
class Original:
    """What is exported, and what its files are held against.

    Attributes:
        body: `normalised (N, 1, S, S) float` to `logits (N, K)`, and more where it gives more.
        contract: Of the FP32 file.
        expected: Its answers to the check images.
        reference: What gave them.
        seen: What it remembers of its training images; None where that is not known.
    """

    body: onnx.ModelProto
    contract: Contract
    expected: Answers
    reference: str
    seen: bytes | None


@dataclass(frozen=True)
class ExportConfig:
    """What an export is told.

    Attributes:
        checkpoint: What to export; the original where it is adopted (`edge_mri_export.adopting`).
        output: Path of the FP32 file; the quantised file is written beside it.
        quantization: Whether and how to quantise.
        calibration: Folder of images to calibrate and check with; None for the run's own.
        max_drop: Largest share of answers that a quantised file may change, and largest loss of a
            class's sensitivity, in percent; None: 0.5.
        outputs: What is wanted beside the logits, of `edge_mri_export.graph.outputs.NAMES`.
        licence: Licence of the weights, as their owner states it; "": that of the models that they
            were trained from, where those state one.
        named: Functions that may run to make the checkpoint's network.
        foreign: Folders of images that are no brain MR, for the rejection gate.
    """

    checkpoint: Path
    output: Path
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    calibration: Path | None = None
    max_drop: float | None = None
    outputs: tuple[str, ...] = ()
    licence: str = ""
    named: tuple[str, ...] = ()
    foreign: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        check_names(self.outputs)
        if self.output.suffix != ".onnx":
            raise OptionError(f"the output is {self.output}; expected a name ending in .onnx")
        if self.max_drop is None:
            return
        if not 0 <= self.max_drop <= 100:
            raise OptionError(f"--max-drop is {self.max_drop}; expected 0 to 100 percent")
        if self.quantization.precision == "none":
            raise OptionError(
                "--max-drop is for quantised files, and --quantize is none: the logits of an FP32 "
                "file are PyTorch's or it is not written; leave it out"
            )

    @property
    def allowed_drop(self) -> float:
        """What a quantised file may lose, in percent."""
        return MAX_DROP if self.max_drop is None else self.max_drop

    @property
    def int8_output(self) -> Path:
        """Path of the INT8 file."""
        return self.output.with_name(f"{self.output.stem}_int8.onnx")

    @property
    def fp16_output(self) -> Path:
        """Path of the FP16 file."""
        return self.output.with_name(f"{self.output.stem}_fp16.onnx")


def export(config: ExportConfig, progress: Progress) -> list[Exported]:
    """Write a checkpoint as ONNX, FP32 and as `quantization` says.

    Quantised files that an earlier export left beside are removed: they would answer as another
    network.

    Raises:
        ParityError: A file would not give PyTorch's answers; it is not written. The error has it
            and those that were written before.
        CalibrationError: There are no images to check with, or none of some class.
        OptionError: An option has no effect here.
        NoImagesError: A folder of `foreign` holds no image.
        FolderNotFoundError: There is no such folder.
        OutputError: The files cannot be written; said before the work where that is known.
    """
    checkpoint = Checkpoint.load(config.checkpoint, config.named)
    require_writable(config.output)
    ImageFiles(config.foreign)  # raises where one is not there
    images = load_images(
        config.calibration,
        config.checkpoint,
        checkpoint.preprocess,
        progress,
        config.quantization.samples,
        checkpoint.labels,
    )
    require_every_class(images.check.labels, checkpoint.labels)
    body = body_graph(checkpoint, config.outputs)
    contract = Contract(
        name=checkpoint.architecture,
        labels=checkpoint.labels,
        preprocess=checkpoint.preprocess,
        temperature=checkpoint.temperature,
        tumor_threshold=checkpoint.tumor_threshold,
        training=_training(checkpoint),
        licence=config.licence or checkpoint.training.get("licence", ""),
        toolkit_version=__version__,
    )
    expected = checkpoint_answers(checkpoint, images.check.pixels)
    original = Original(body, contract, expected, REFERENCE, checkpoint.seen)
    return write_files(original, images, config, progress)


def write_files(
    original: Original, images: ExportImages, config: ExportConfig, progress: Progress
) -> list[Exported]:
    """Write an original as FP32 and as `quantization` says; as `export` does."""
    body, contract = original.body, original.contract
    writer = Writer(
        images.check,
        original.expected,
        Finish.prepare(
            config.outputs, config.foreign, images, contract.preprocess, macs(body), progress
        ),
        original.reference,
        original.seen,
    )
    float_model = with_pixel_input(body)
    exported = [writer.write(float_model, contract, config.output, Parity.require_same_outputs)]
    for path in (config.int8_output, config.fp16_output):
        remove(path)
    if config.quantization.precision != "none":
        progress.say(f"wrote {config.output}; quantising")
        try:
            if config.quantization.is_int8:
                exported.append(_export_int8(body, contract, images, writer, config, progress))
            else:
                exported.append(_export_fp16(float_model, contract, writer, config))
        except ParityError as error:
            error.exported = (*exported, *error.exported)
            raise
    return exported


def _training(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the record of its training, and which memory of its images is its own."""
    if checkpoint.seen is None:
        return checkpoint.training
    return checkpoint.training | {SEEN_KEY: hashlib.sha256(checkpoint.seen).hexdigest()}


def _export_int8(
    body: onnx.ModelProto,
    contract: Contract,
    images: ExportImages,
    writer: Writer,
    config: ExportConfig,
    progress: Progress,
) -> Exported:
    if len(images.calibration) < FEW_IMAGES:
        progress.say(
            f"calibrating with {len(images.calibration)} images; below {FEW_IMAGES} the ranges "
            "come out too narrow: give more with --calibration DIR"
        )
    search = Search(
        body,
        images,
        writer.expected,
        contract,
        contract.preprocess,
        config.quantization,
        config.allowed_drop,
        progress,
    )
    trial = search.run()
    trials = [one.to_dict() for one in search.trials]
    described = _described(trial, images, config.quantization)
    # What each lost is for the report: long lines, that no user of the file needs.
    brief = [{key: one[key] for key in one if key != "losses"} for one in trials]
    described |= {"max_drop": config.allowed_drop, "trials": brief}
    # Fine-tuned as was asked for, not the best of all: what passes without is worth saying.
    is_asked = config.quantization.precision == "int8-qat"
    tried = 1 if is_asked else len(trials)
    static = "--quantize int8 passes" if is_asked and not search.best.losses else ""

    def searched(one: Exported) -> Exported:
        return replace(
            one,
            quantized_layers=count_quantized(trial.model),
            trials=tuple(trials),
            chosen=str(trial.recipe),
            notes=tuple(search.notes),
        )

    try:
        written = writer.write(
            packed(trial.model),
            replace(contract, precision="int8", quantization=described),
            config.int8_output,
            lambda parity: parity.require_no_loss(config.allowed_drop, tried=tried, advice=static),
        )
    except ParityError as error:
        error.exported = tuple(searched(one) for one in error.exported)
        raise
    return searched(written)


def _described(trial: Trial, images: ExportImages, config: QuantizationConfig) -> dict[str, Any]:
    """Return how an INT8 file was made, as JSON values."""
    recipe = trial.recipe
    return {
        "format": "QDQ",
        "method": "static, fine-tuned" if recipe.fine_tuned else "static",
        "target": config.target or "portable",
        "calibration_method": recipe.method,
        "percentile": recipe.percent if recipe.method == "percentile" else None,
        "activations": f"{config.integers.activations} asymmetric, per tensor",
        "weights": f"int8 symmetric, per channel, {config.integers.weight_bits} bits",
        "rounding": "error feedback" if recipe.rounded else "nearest",
        "bias_corrected": recipe.bias_corrected,
        "excluded": list(recipe.exclude),
        "quantized_layers": list(count_quantized(trial.model)),
        "calibration_images": len(images.calibration),
        "calibration_source": images.source,
        "calibration_sha256": images.calibration_sha256,
        "opset": OPSET,
        "onnxruntime": ort.__version__,
    }


def _export_fp16(
    model: onnx.ModelProto, contract: Contract, writer: Writer, config: ExportConfig
) -> Exported:
    return writer.write(
        half(model),
        replace(contract, precision="fp16", quantization={"format": "FP16", "opset": OPSET}),
        config.fp16_output,
        lambda parity: parity.require_no_loss(config.allowed_drop, kind="FP16"),
    )
