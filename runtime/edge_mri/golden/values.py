"""Golden images: what a model said to them, kept beside it.

They are phantoms, as encoded files, so that decoder, preprocessing and network are all in the proof
that `edge_mri.golden.check` makes of them. They lie beside the model with the answers of the
machine that wrote them: `model.golden.json` for `model.onnx`.
"""

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from edge_mri.classifier import Classifier
from edge_mri.errors import GoldenValuesError
from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri.storage.atomic import write_json
from edge_mri.storage.json_document import is_number, parse, shown
from edge_mri.storage.regular_file import read_regular

_NOTICE = "Drawings, not patients; probabilities by the model with this hash."
_MAX_BYTES = 64 * 2**20
_SIZES_PX = {".jpg": 512, ".png": 96}


@dataclass(frozen=True)
class GoldenImage:
    """An image and what the model said to it.

    Attributes:
        name: What it shows.
        data: The encoded file.
        probabilities: By type, then by plane, where the model knows planes.
    """

    name: str
    data: bytes
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Golden:
    """Golden images, of one model file."""

    model_sha256: str
    images: tuple[GoldenImage, ...]


def golden_path(model: Path) -> Path:
    """Return where the golden values of a model file lie."""
    return model.with_suffix(".golden.json")


def write_golden(classifier: Classifier) -> Path:
    """Draw the golden images and write them with the model's answers beside the model."""
    images = []
    for number, label in enumerate(LabelSpace().classes[::2]):
        suffix = list(_SIZES_PX)[number % 2]
        pixels = draw_phantom(label, size_px=_SIZES_PX[suffix], seed=1, index=number)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 40] if suffix == ".jpg" else []
        data = cv2.imencode(suffix, pixels, quality)[1].tobytes()
        images.append(GoldenImage(f"{label}{suffix}", data, answers_by_name(classifier, data)))
    path = golden_path(classifier.path)
    _write(Golden(classifier.model_sha256, tuple(images)), path)
    return path


def rename_golden(model: Path, before: str, after: str) -> None:
    """Let the golden values beside a model file be those of the same model under another hash."""
    try:
        golden = read_golden(model)
    except GoldenValuesError:
        return
    if golden.model_sha256 == before:
        _write(replace(golden, model_sha256=after), golden_path(model))


def read_golden(model: Path) -> Golden:
    """Read the golden values of a model file.

    Raises:
        GoldenValuesError: There are none, or the file holds something else.
    """
    path = golden_path(model)
    try:
        return _golden(parse(read_regular(path, _MAX_BYTES).decode(), _MAX_BYTES))
    except OSError as error:
        raise GoldenValuesError(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise GoldenValuesError(path, f"they are something else ({error})") from error


def answers_by_name(classifier: Classifier, data: bytes) -> dict[str, float]:
    """Return the probabilities of types, then of planes, that a model gives an encoded image."""
    record = classifier.predict(data)
    return (record.type_probabilities or {}) | (record.plane_probabilities or {})


def _write(golden: Golden, path: Path) -> None:
    values = {
        "notice": _NOTICE,
        "model_sha256": golden.model_sha256,
        "images": [
            {
                "name": image.name,
                "probabilities": image.probabilities,
                "data": base64.b64encode(image.data).decode(),
            }
            for image in golden.images
        ],
    }
    write_json(values, path, indent=1)


def _golden(values: Any) -> Golden:
    """Read golden values from JSON values; raises `ValueError` saying what is wrong."""
    _require_keys(values, {"notice", "model_sha256", "images"}, "the file")
    sha256, images = values["model_sha256"], values["images"]
    if not isinstance(sha256, str):
        raise ValueError(f"model_sha256 is {shown(sha256)}, expected text")
    if not isinstance(images, list) or not images:
        raise ValueError(f"images is {shown(images)}, expected a list of one or more")
    golden = Golden(sha256, tuple(map(_image, images)))
    names = [image.name for image in golden.images]
    if len(set(names)) < len(names):
        raise ValueError(f"images of one name: {shown(max(names, key=names.count))}")
    return golden


def _image(values: Any) -> GoldenImage:
    _require_keys(values, {"name", "probabilities", "data"}, "an image")
    name, probabilities, data = (values[key] for key in ("name", "probabilities", "data"))
    if not isinstance(name, str) or not isinstance(data, str):
        raise ValueError(f"an image has the name {shown(name)} and {type(data).__name__} as data")
    if not isinstance(probabilities, dict) or not probabilities:
        raise ValueError(f"probabilities of {shown(name)} is {shown(probabilities)}")
    for label, value in probabilities.items():
        if not is_number(value) or not 0 <= value <= 1:
            raise ValueError(
                f"P({shown(label)}) of {shown(name)} is {shown(value)}, expected 0 to 1"
            )
    return GoldenImage(name, base64.b64decode(data, validate=True), probabilities)


def _require_keys(values: Any, keys: set[str], where: str) -> None:
    if not isinstance(values, dict) or set(values) != keys:
        found = shown(list(values)) if isinstance(values, dict) else type(values).__name__
        raise ValueError(f"{where} has {found}, expected {', '.join(sorted(keys))}")
