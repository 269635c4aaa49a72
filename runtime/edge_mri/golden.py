"""Golden images: what a model said to them, kept beside it.

They are phantoms, as encoded files, so that decoder, preprocessing and network are all in the proof
that `edge_mri.check` makes of them. They lie beside the model with the answers of the machine that
wrote them: `model.golden.json` for `model.onnx`.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_mri.atomic import write_json
from edge_mri.classifier import Classifier
from edge_mri.errors import GoldenValuesError
from edge_mri.labels import LabelSpace
from edge_mri.phantom import draw_phantom

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
    values = {
        "notice": "Drawings, not patients; probabilities by the model with this hash.",
        "model_sha256": classifier.model_sha256,
        "images": [
            {
                "name": image.name,
                "probabilities": image.probabilities,
                "data": base64.b64encode(image.data).decode(),
            }
            for image in images
        ],
    }
    path = golden_path(classifier.path)
    write_json(values, path, indent=1)
    return path


def read_golden(model: Path) -> Golden:
    """Read the golden values of a model file.

    Raises:
        GoldenValuesError: There are none, or the file holds something else.
    """
    path = golden_path(model)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        images = tuple(
            GoldenImage(image["name"], base64.b64decode(image["data"]), image["probabilities"])
            for image in values["images"]
        )
        return Golden(values["model_sha256"], images)
    except OSError as error:
        raise GoldenValuesError(path, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise GoldenValuesError(path, f"they are something else ({error!r})") from error


def answers_by_name(classifier: Classifier, data: bytes) -> dict[str, float]:
    """Return the probabilities of types, then of planes, that a model gives an encoded image."""
    record = classifier.predict(data)
    return (record.type_probabilities or {}) | (record.plane_probabilities or {})
