"""Self-contained HTML pages: templates filled in, with pictures and plots inside the file.

A page needs no network and no other file. What is on it is up to the caller.
"""

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from edge_mri import __version__
from edge_mri.storage.atomic import atomic_path

_THUMBNAIL_PX = 192
_JPEG_QUALITY = 80


def write_page(
    template: str, path: Path, *, package: str = "edge_mri_train", **values: Any
) -> None:
    """Fill a template of a package's `templates/` in and write it, whole or not at all."""
    packages = dict.fromkeys((package, "edge_mri_train"))  # the second has the base of all pages
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in packages]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = percent
    text = environment.get_template(template).render(version=__version__, **values)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def picture(image: NDArray[np.uint8]) -> str:
    """Return a `(H, W)` uint8 image, shrunk to a thumbnail, as a data URL."""
    scale = min(_THUMBNAIL_PX / max(image.shape), 1.0)
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def plot(figure: Figure) -> Markup:
    """Return a figure as inline SVG; the same figure gives the same text.

    Names on it are plain text, whatever signs they have: `$` begins no formula, and those that the
    font lacks become boxes.
    """
    buffer = io.StringIO()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with matplotlib.rc_context({"svg.hashsalt": "edge-mri"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return Markup(svg[svg.index("<svg") :])


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as text in percent, a dash for None."""
    return "-" if value is None else f"{100 * value:.{digits}f}"
