"""Classifiers made elsewhere, from ONNX files or PyTorch modules, as files of the toolkit.

An adopted model gets the same as one that was trained here: contract, raw grey pixels as its input,
INT8 by the same guarded search. It is held against the original on the user's own images.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from edge_mri import __version__
from edge_mri.errors import OptionError
from edge_mri.images import ImageFiles
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace, Vocabulary
from edge_mri.model.contract import Contract
from edge_mri.storage.atomic import require_writable
from edge_mri.terminal.progress import NoProgress, Progress
from edge_mri_export.adoption.class_names import class_samples, class_space, read_class_names
from edge_mri_export.adoption.ending import Ending
from edge_mri_export.adoption.foreign import Foreign
from edge_mri_export.adoption.grey import grey_body
from edge_mri_export.adoption.input_spec import InputSpec
from edge_mri_export.errors import AdoptionError, CalibrationError
from edge_mri_export.exported import Exported
from edge_mri_export.exporting import ExportConfig, Original, write_files
from edge_mri_export.graph.graph import (
    LOGITS,
    NORMALISED,
    OPSET,
    exporter_reason,
    exporter_silenced,
)
from edge_mri_export.graph.work import macs
from edge_mri_export.guard.answers import Answers, memory_session
from edge_mri_export.guard.calibration import load_folder, require_every_class
from edge_mri_export.int8.recipe import QuantizationConfig
from edge_mri_export.int8.values import normalised
from edge_mri_train.errors import first_line

ORIGINAL = "original ONNX"
_TRIED = 3  # images at once, so that a batch of one shows
_TOLERANCE = 1e-3  # of the largest logit; the guard allows less, on all images
Labels = LabelSpace | Sequence[str] | str | Path


def export_onnx(
    model: Path | str,
    *,
    labels: Labels,
    preprocess: InputSpec | str,
    images: Path | str,
    output: Path | str,
    quantize: str = "none",
    foreign: Sequence[Path | str] = (),
    progress: Progress | None = None,
) -> list[Exported]:
    """Adopt an ONNX classifier made elsewhere.

    Args:
        model: The file, with a float input of 1 or 3 channels.
        labels: Its classes in the order of its outputs: names, or what `--labels` takes.
        preprocess: What it takes, or what `--preprocess` takes.
        images: Folder of images to compare and calibrate on, in class folders or not.
        output: The FP32 file; a quantised one is written beside it.
        quantize: `none`, `int8`, `int8-qat` or `fp16`.
        foreign: Folders of images that are no brain MR, for the rejection gate.
        progress: Told how it goes.

    Raises:
        AdoptionError: It is no classifier that can be adopted.
        ParityError: A file would not give the original's answers; it is not written.
        CalibrationError: The images do not do.
        OptionError: Labels or preprocessing cannot be.
    """
    config = ExportConfig(
        Path(model),
        Path(output),
        quantization=QuantizationConfig(quantize),
        calibration=Path(images),
        foreign=tuple(map(Path, foreign)),
    )
    return adopt(config, _vocabulary(labels), _spec(preprocess), progress or NoProgress())


def export_module(
    module: nn.Module,
    *,
    labels: Labels,
    preprocess: InputSpec | str,
    images: Path | str,
    output: Path | str,
    channels: int = 3,
    quantize: str = "none",
    foreign: Sequence[Path | str] = (),
    progress: Progress | None = None,
) -> list[Exported]:
    """Adopt a PyTorch classifier: as `export_onnx` of what PyTorch's exporter makes of it.

    Args:
        module: From `(N, channels, S, S)` float to `(N, K)`; `preprocess` says S.
        labels: As for `export_onnx`, as the others.
        preprocess: The same.
        images: The same.
        output: The same.
        channels: 1 or 3.
        quantize: The same.
        foreign: The same.
        progress: The same.

    Raises:
        AdoptionError: PyTorch cannot export it, or what it exports answers otherwise.
    """
    spec = _spec(preprocess)
    if spec.size is None:
        raise OptionError("preprocess: a module takes images of any size; say which with size")
    name = type(module).__name__
    example = torch.zeros(2, channels, spec.size, spec.size)
    vocabulary, source = _vocabulary(labels), {"module": name}
    was_training = module.training
    try:
        proto = _exported(module.eval(), example, name)
        original = Foreign.of(name, proto, spec)
        noise = np.random.default_rng(0).integers(0, 256, (_TRIED, 1, spec.size, spec.size))
        pixels = noise.astype(np.uint8)
        with torch.inference_mode():
            theirs = module(torch.from_numpy(spec.values(pixels, channels, "nchw"))).numpy()
    finally:
        module.train(was_training)
    (given,) = original.answers(pixels, [])
    _require_close(name, given, theirs, "PyTorch's exporter makes a graph that answers otherwise")
    config = ExportConfig(
        Path(name),
        Path(output),
        quantization=QuantizationConfig(quantize),
        calibration=Path(images),
        foreign=tuple(map(Path, foreign)),
    )
    return _adopted(original, config, vocabulary, progress or NoProgress(), source)


def adopt(
    config: ExportConfig, vocabulary: Vocabulary, spec: InputSpec, progress: Progress
) -> list[Exported]:
    """Adopt the ONNX file that a configuration names as its checkpoint; see `export_onnx`."""
    if config.outputs:
        raise OptionError(
            f"--outputs {','.join(config.outputs)} is of a checkpoint; a model made elsewhere "
            "keeps its own output alone, so that it has no heatmaps"
        )
    path = config.checkpoint
    outputs = (config.output, config.int8_output, config.fp16_output)
    if path.resolve() in [one.resolve() for one in outputs]:
        raise OptionError(f"the output would replace the original, {path}; choose another with -o")
    foreign = Foreign.read(path, spec)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _adopted(foreign, config, vocabulary, progress, {"file": path.name, "sha256": digest})


def _adopted(
    foreign: Foreign,
    config: ExportConfig,
    vocabulary: Vocabulary,
    progress: Progress,
    source: dict[str, str],
) -> list[Exported]:
    require_writable(config.output)
    ImageFiles(config.foreign)  # raises where one is not there
    if config.calibration is None:
        raise CalibrationError(
            "no images to compare with the original on; say which with --calibration DIR"
        )
    spec, space = PreprocessSpec(foreign.size), vocabulary.space
    samples = class_samples(config.calibration, vocabulary)
    images = load_folder(config.calibration, samples, spec, progress, config.quantization.samples)
    if images.check.labels:
        require_every_class(images.check.labels, space)
    else:
        progress.say(
            "no folder is called as a class: answers are compared image by image, and no class's "
            "sensitivity is known"
        )
    progress.say(f"asking the original about {len(images.check.pixels)} images")
    ending, logits = Ending.of(foreign, space, images.check.pixels)
    body = grey_body(foreign, ending)
    _require_same(foreign, body, images.check.pixels[:_TRIED], logits[:_TRIED])
    progress.say(
        f"adopted {foreign.name}: {foreign.channels} x {foreign.size} x {foreign.size} "
        f"{foreign.layout}, ends in {ending.kind}, {macs(body) / 1e6:.0f} million multiplications "
        "an image"
    )
    contract = Contract(
        name=foreign.name,
        labels=space,
        preprocess=spec,
        training={
            "adopted": {
                **source,
                "channels": foreign.channels,
                "layout": foreign.layout,
                "scale": foreign.spec.scale,
                "mean": list(foreign.spec.mean),
                "std": list(foreign.spec.std),
                "ending": ending.kind,
            }
        },
        licence=config.licence,
        toolkit_version=__version__,
    )
    original = Original(body, contract, Answers(logits), ORIGINAL, None)
    return write_files(original, images, config, progress)


def _require_same(
    foreign: Foreign, body: onnx.ModelProto, pixels: NDArray[np.uint8], logits: NDArray[np.float32]
) -> None:
    """Raise `AdoptionError` unless a body answers several images at once as the original does."""
    try:
        quiet = ort.RunOptions()
        quiet.log_severity_level = 4  # what is wrong is told below
        session = memory_session(body)
        found = session.run([LOGITS], {NORMALISED: normalised(pixels)}, quiet)[0]
    except Exception as error:  # onnxruntime's errors share no base class
        why = "made for one image at a time, and cannot be opened for more" if foreign.batch else ""
        raise AdoptionError(
            foreign.name,
            f"{why or 'its graph cannot be rewritten'} ({first_line(error)[:200]}); export it for "
            "any number of images",
        ) from error
    _require_close(foreign.name, found, logits, "its graph behind grey pixels answers otherwise")


def _require_close(
    name: str, found: NDArray[np.float32], expected: NDArray[np.float32], what: str
) -> None:
    allowed = _TOLERANCE * max(float(np.abs(expected).max()), 1.0)
    if found.shape != expected.shape or not np.abs(found - expected).max() <= allowed:
        raise AdoptionError(name, what)


def _exported(module: nn.Module, example: torch.Tensor, name: str) -> onnx.ModelProto:
    try:
        with exporter_silenced():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise AdoptionError(name, f"PyTorch cannot export it: {exporter_reason(error)}") from error
    if program is None:
        raise AdoptionError(name, "PyTorch's exporter returned nothing")
    return program.model_proto


def _vocabulary(labels: Labels) -> Vocabulary:
    if isinstance(labels, LabelSpace):
        return Vocabulary(labels)
    if isinstance(labels, str | Path):
        return read_class_names(str(labels))
    return Vocabulary(class_space(labels))


def _spec(preprocess: InputSpec | str) -> InputSpec:
    return InputSpec.parse(preprocess) if isinstance(preprocess, str) else preprocess
