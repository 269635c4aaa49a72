"""Draws the pictures of docs/how-it-works.md: one SVG a section, from the code it explains.

    python benchmarks/studies/release/draw_how_it_works.py --out docs/pictures

The images in them are phantoms; maps and novelty are what the packaged model says of them.
"""

import argparse
import base64
import tempfile
from collections.abc import Iterable
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.answers.location import lesion_box
from edge_mri.classifier import Classifier
from edge_mri.images.preprocess import Placement, preprocess
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms

Image = NDArray[np.uint8]

WIDTH = 760
INK, PALE, ACCENT, GOOD, BAD = "#22303c", "#eef2f6", "#3f51b5", "#2e7d32", "#c62828"


class Drawing:
    """An SVG that grows by boxes, arrows, words and images; sizes in its own units."""

    def __init__(self, height: int, title: str) -> None:
        self._height, self._title, self._parts = height, title, list[str]()

    def words(
        self, x: float, y: float, text: str, *, size: int = 13, middle: bool = False,
        colour: str = INK, bold: bool = False,
    ) -> None:  # fmt: skip
        """Write lines of text; y is the first one's base line."""
        anchor = ' text-anchor="middle"' if middle else ""
        weight = ' font-weight="600"' if bold else ""
        for number, line in enumerate(text.split("\n")):
            below = y + number * (size + 4)
            self._parts.append(
                f'<text x="{x:g}" y="{below:g}" font-size="{size}" fill="{colour}"{anchor}{weight}>'
                f"{escape(line)}</text>"
            )

    def box(
        self, x: float, y: float, width: float, height: float, text: str = "", *,
        fill: str = PALE, edge: str = INK,
    ) -> None:  # fmt: skip
        """Draw a box with lines of text in its middle."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" '
            f'stroke="{edge}"/>'
        )
        if text:
            lines = text.count("\n")
            self.words(x + width / 2, y + height / 2 + 4 - 8.5 * lines, text, middle=True)

    def arrow(self, x: float, y: float, to_x: float, to_y: float, colour: str = INK) -> None:
        """Draw an arrow."""
        self._parts.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{colour}" '
            'stroke-width="1.5" marker-end="url(#head)"/>'
        )

    def line(
        self, x: float, y: float, to_x: float, to_y: float, colour: str = INK, dash: str = "",
    ) -> None:  # fmt: skip
        """Draw a line."""
        self._parts.append(
            f'<line x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}" stroke="{colour}" '
            f'stroke-width="1.5" stroke-dasharray="{dash}"/>'
        )

    def dots(self, at: Iterable[tuple[float, float]], colour: str) -> None:
        """Draw dots."""
        self._parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity="0.6"/>'
            for x, y in at
        ]

    def image(self, x: float, y: float, width: float, picture: Image) -> float:
        """Lay a grey or BGR picture; return its height as drawn."""
        height = width * picture.shape[0] / picture.shape[1]
        data = base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode("ascii")
        self._parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
        )
        return height

    def write(self, path: Path) -> None:
        """Write the file."""
        parts = "\n".join(self._parts)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" '
            f'role="img" font-family="system-ui, sans-serif"><title>{escape(self._title)}</title>'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>'
            f'<rect width="{WIDTH}" height="{self._height}" fill="#fff"/>\n{parts}\n</svg>\n',
            encoding="utf-8",
        )


def draw_preprocessing(image: Image, classifier: Classifier) -> Drawing:
    """Draw the way from a file to the network's input."""
    spec = classifier.contract.preprocess
    wide = image[40:440]
    place = Placement.of(wide.shape, spec)
    halved = cv2.resize(wide, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
    drawing = Drawing(270, "Preprocessing: file, grey pixels, halving, letterbox, network")
    size = spec.size
    thumbnail = cv2.resize(wide, None, fx=0.5, fy=0.5).astype(np.uint8)
    seen = preprocess(wide, spec)[0]
    steps = (
        (10, 170, thumbnail, f"grey pixels\n{wide.shape[1]} x {wide.shape[0]}, 8 bit"),
        (240, 110, halved, "halved while the longer\nside stays at S or more"),
        (430, 130, seen, f"bilinear, then black borders\n{size} x {size} (S = {size})"),
    )  # fmt: skip
    for x, width, picture, text in steps:
        drawing.image(x, 30, width, picture)
        drawing.words(x, 205, text, size=12)
    drawing.box(620, 60, 130, 70, "ONNX graph:\nfirst nodes\nnormalise", fill="#fff", edge=ACCENT)
    drawing.arrow(185, 95, 235, 95)
    drawing.arrow(355, 95, 425, 95)
    drawing.arrow(565, 95, 615, 95)
    drawing.words(570, 84, "uint8", size=11)
    drawing.words(
        10, 252, f"The image fills {place.fitted_width} x {place.fitted_height} of the square. "
        "Training, export and runtime call this one function.", size=12,
    )  # fmt: skip
    return drawing


def draw_contract() -> Drawing:
    """Draw what one model file holds, and who reads it."""
    drawing = Drawing(300, "The contract inside a model file")
    drawing.box(10, 10, 400, 280, fill="#fff", edge=ACCENT)
    drawing.words(25, 34, "model_int8.onnx", bold=True)
    drawing.box(25, 48, 370, 46, "graph and weights\nraw grey pixels in, logits out")
    decides = "labels · preprocessing · temperature\noperating point · rejection · volumes"
    drawing.box(25, 104, 370, 56, decides, fill="#e3e8ff")
    drawing.box(
        25, 170, 370, 56, "quantisation · parity with PyTorch\ntraining data · licence · use"
    )
    drawing.box(25, 236, 370, 40, "hash of all that is in the file · signature", fill="#e3f3e4")
    for y, text in (
        (71, "onnxruntime runs it"),
        (132, "edge-mri decides by it"),
        (198, "people read it: edge-mri info"),
        (256, "edge-mri refuses an edited file"),
    ):
        drawing.arrow(398, y, 470, y)
        drawing.words(480, y + 4, text)
    return drawing


def draw_guard() -> Drawing:
    """Draw how an INT8 file gets its name, or none."""
    drawing = Drawing(300, "The guard: a quantised file must give PyTorch's answers")
    drawing.box(10, 20, 150, 54, "validation images\nof the run")
    drawing.box(230, 10, 150, 44, "PyTorch")
    drawing.box(230, 74, 150, 54, "INT8 file,\nthrough the runtime")
    drawing.arrow(160, 42, 226, 32)
    drawing.arrow(160, 54, 226, 98)
    drawing.box(450, 20, 190, 96, "compare\nanswers, sensitivity of\neach class, lesion peaks")
    drawing.arrow(380, 32, 446, 50)
    drawing.arrow(380, 100, 446, 86)
    drawing.box(450, 200, 190, 54, "written: model_int8.onnx", fill="#e3f3e4", edge=GOOD)
    drawing.arrow(545, 116, 545, 196)
    drawing.words(552, 160, "at most 0.5 % changed", size=12, colour=GOOD)
    drawing.box(
        195,
        190,
        190,
        74,
        "next trial: other ranges,\ncorrected biases, layers\nin float, fine-tuning",
    )
    drawing.arrow(450, 112, 360, 186)
    drawing.words(300, 150, "more changed", size=12, colour=BAD)
    drawing.arrow(275, 190, 290, 132)
    drawing.box(10, 200, 140, 54, "refused, no file,\nexit code 1", fill="#fdecea", edge=BAD)
    drawing.arrow(195, 227, 154, 227)
    drawing.words(12, 282, "nothing left to try", size=12, colour=BAD)
    return drawing


def draw_gate(images: list[Image], classifier: Classifier) -> Drawing:
    """Draw novelty of phantoms and of what is no head, and the interval that is too close."""
    rejection = classifier.contract.rejection
    assert rejection is not None, "the packaged model rejects"
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (160, 160)).astype(np.uint8) for _ in range(12)]
    groups = (
        ("drawn heads", images, ACCENT),
        ("the same, inverted", [np.asarray(255 - one, np.uint8) for one in images], BAD),
        ("noise", noise, BAD),
    )
    drawing = Drawing(330, "The rejection: unlike the training images, or too close to call")

    def across(novelty: float) -> float:
        return 170 + 560 * min(1.0, np.log(max(novelty, 1.0)) / np.log(30))

    limit = across(rejection.max_novelty)
    drawing.words(10, 22, "1. Is it an image as the model knows them? Its novelty:", bold=True)
    for row, (name, pictures, colour) in enumerate(groups):
        y = 60 + 40 * row
        records = [classifier.predict(one) for one in pictures]
        drawing.words(10, y + 4, f"{name} (n = {len(records)})", size=12)
        drawing.dots(((across(one.novelty or 1.0), y) for one in records), colour)
    drawing.line(170, 170, 730, 170)
    for value in (1, 3, 10, 30):
        drawing.words(across(value), 186, f"{value}", size=11, middle=True)
    drawing.line(limit, 40, limit, 170, BAD, "5 4")
    drawing.words(limit + 4, 44, "above: rejected as foreign", size=12, colour=BAD)
    low, high = rejection.undecided
    drawing.words(10, 226, "2. Is it clear? P(any tumour):", bold=True)
    left, wide = 170, 560
    drawing.box(left, 240, wide * low, 34, "no tumour", fill="#e3f3e4")
    drawing.box(left + wide * high, 240, wide * (1 - high), 34, "tumour", fill="#e3e8ff")
    drawing.box(left + wide * low, 240, wide * (high - low), 34, fill="#fdecea", edge=BAD)
    for value in (0, low, high, 1):
        drawing.words(left + wide * value, 292, f"{value:.2f}", size=11, middle=True)
    drawing.words(left + wide * low - 6, 316, "between: rejected as undecided", size=12, colour=BAD)
    return drawing


def draw_lesion_map(image: Image, classifier: Classifier) -> Drawing:
    """Draw the map's cells, the map over the image, and the box."""
    spec = classifier.contract.preprocess
    batch = preprocess(image, spec)
    seen = batch[0]
    answers = classifier.answers(batch[None], lesion=True)
    assert answers.lesion is not None
    cells = np.asarray(answers.lesion[0]).reshape(answers.lesion.shape[-2:])
    heat = cv2.applyColorMap((255 * np.clip(cells, 0, 1)).astype(np.uint8), cv2.COLORMAP_TURBO)
    shown = cv2.cvtColor(seen, cv2.COLOR_GRAY2BGR)
    large = cv2.resize(heat, (spec.size, spec.size), interpolation=cv2.INTER_LINEAR)
    over = cv2.addWeighted(shown, 0.5, large, 0.5, 0).astype(np.uint8)
    box = lesion_box(cells, Placement.of(seen.shape, spec))
    drawing = Drawing(290, "The lesion map: cells, map, box, and the answers read from it")
    for x, picture in ((10, seen), (200, heat), (390, over)):
        drawing.image(x, 30, 170, np.asarray(picture, np.uint8))
    if box is not None:
        scale = 170 / spec.size
        x, y, width, height = (scale * side for side in box)
        drawing.box(390 + x, 30 + y, width, height, fill="none", edge="#fff")
    drawing.arrow(182, 115, 198, 115)
    drawing.arrow(372, 115, 388, 115)
    count = cells.shape[0]
    for x, text in (
        (10, "what the network gets"),
        (200, f"{count} x {count} cells: what share of\neach a lesion covers, 0 to 1"),
        (390, "the map over the image; the box\nreaches to half of the peak"),
    ):
        drawing.words(x, 220, text, size=12)
    drawing.box(590, 40, 160, 48, "the highest cells:\nP(any tumour)", fill="#e3e8ff")
    drawing.box(590, 100, 160, 48, "features there:\nwhich type")
    drawing.box(590, 160, 160, 40, "whole image: plane")
    for y in (64, 124, 180):
        drawing.arrow(564, 115, 586, y)
    said = "A phantom. The map is the reason for the answer, but no evidence of a lesion."
    drawing.words(10, 276, said, size=12)
    return drawing


def main() -> None:
    """Read the options and write the pictures."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/how-it-works.md.")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write_all(out)


def write_all(out: Path) -> None:
    """Write the five pictures into a folder."""
    classifier = Classifier.load(reject=True)
    with tempfile.TemporaryDirectory() as folder:
        config = PhantomConfig(count=3, size_px=512, seed=0, format="png")
        files = write_phantoms(Path(folder), config)
        images = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE).astype(np.uint8) for file in files]
        named = dict(zip((file.parent.name for file in files), images, strict=True))
    shown = named["glioma_axial"]
    draw_preprocessing(shown, classifier).write(out / "preprocessing.svg")
    draw_contract().write(out / "contract.svg")
    draw_guard().write(out / "guard.svg")
    draw_gate(images, classifier).write(out / "gate.svg")
    draw_lesion_map(shown, classifier).write(out / "lesion-map.svg")


if __name__ == "__main__":
    main()
