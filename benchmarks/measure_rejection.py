r"""How well a model tells brain MR slices from everything else, and what that costs.

    python benchmarks/measure_rejection.py MODEL --brain DIR... --foreign DIR... [--json FILE]

Brain images should be ones that neither training nor the choice of thresholds has seen. Foreign
images are those of the folders, of the packages scikit-image, scikit-learn and pydicom (as far as
they are installed; test files of theirs that say MR are left out), and drawn ones: noise, blank
images, text. Brain images turned upside down, cut to a quarter, inverted or torn into tiles are
measured beside these: still MR, so that they do not count in the AUROC of foreign images.

For each group, with n and Wilson's 95 % interval: the share rejected as foreign at the model's
threshold, and the AUROC of novelty against the brain images, for all foreign ones together with a
bootstrap interval over images. For comparison the AUROC of one less
the largest probability (Hendrycks & Gimpel 2017, "A baseline for detecting misclassified and
out-of-distribution examples") and of the energy (Liu et al. 2020, "Energy-based
out-of-distribution detection"), which every model has.
"""

import argparse
import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.classifier import Classifier
from edge_mri.errors import ImageError
from edge_mri.images import ImageFiles, read_image
from edge_mri.preprocess import preprocess_batch
from edge_mri_train.metrics import auroc, ratio, wilson

Image = NDArray[np.uint8]
Groups = Iterator[tuple[str, list[Image]]]

PACKAGES = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
SCORES = ("novelty", "1 - largest p", "energy")

_BATCH = 32
_DRAWN = 100
_SIDE_PX = 224
_ALTERED = 300  # brain images per kind of change
_RESAMPLES = 500
_SMALLEST_PX = 32  # of pydicom's files


def folder(path: Path) -> list[Image]:
    """Read the usable images below a folder."""
    images = []
    for file in ImageFiles([path]):
        try:
            images.append(read_image(file))
        except ImageError as error:
            click.echo(f"left out {file}: {error}")
    return images


def packaged() -> Groups:
    """Yield the photographs and textures that installed packages bring."""
    for name, (module, below) in PACKAGES.items():
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            click.echo(f"left out {name}: it is not installed")
            continue
        yield name, folder(Path(found.origin).parent / below)


def dicom() -> Groups:
    """Yield the frames of pydicom's own test files, by modality; none that says MR."""
    if importlib.util.find_spec("pydicom") is None:
        click.echo("left out pydicom: it is not installed")
        return
    import pydicom

    groups: dict[str, list[Image]] = {}
    known: set[bytes] = set()
    files = sorted((Path(pydicom.__file__).parent / "data/test_files").rglob("*.dcm"))
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # these files are odd on purpose
                dataset = pydicom.dcmread(file)
                pixels = np.asarray(dataset.pixel_array, np.float32)
        except Exception:  # whatever pydicom's decoders raise of files made to fail
            continue
        modality = str(dataset.get("Modality", "")) or "none"
        if pixels.ndim > 2 and pixels.shape[-1] == 3:
            pixels = pixels.mean(axis=-1)
        for frame in pixels.reshape(-1, *pixels.shape[-2:]):
            if min(frame.shape) < _SMALLEST_PX or np.ptp(frame) == 0 or modality == "MR":
                continue
            grey = (255 * (frame - frame.min()) / np.ptp(frame)).astype(np.uint8)
            if grey.tobytes() not in known:
                known.add(grey.tobytes())
                groups.setdefault(modality, []).append(grey)
    yield from ((f"pydicom {name}", images) for name, images in sorted(groups.items()))


def drawn(rng: np.random.Generator) -> Groups:
    """Yield images that nobody took."""
    shape = (_SIDE_PX, _SIDE_PX)
    yield "uniform noise", [rng.integers(0, 256, shape, np.uint8) for _ in range(_DRAWN)]
    yield "normal noise", [_normal_noise(rng) for _ in range(_DRAWN)]
    yield "smooth noise", [_smooth_noise(rng) for _ in range(_DRAWN)]
    yield "blank", [np.full(shape, level, np.uint8) for level in range(0, 256, 5)]
    yield "text", [_text(rng) for _ in range(_DRAWN)]


def altered(brains: Sequence[Image], rng: np.random.Generator) -> Groups:
    """Yield brain images as no scanner gives them."""
    chosen = [brains[row] for row in rng.permutation(len(brains))[:_ALTERED]]
    changes: dict[str, Callable[[Image], Image]] = {
        "upside down": lambda image: np.ascontiguousarray(image[::-1]),
        "cut to a quarter": lambda image: _quarter(image, rng),
        "inverted": lambda image: np.asarray(255 - image, np.uint8),
        "torn into tiles": lambda image: _tiles(image, rng),
    }
    for name, change in changes.items():
        yield name, [change(image) for image in chosen]


def _normal_noise(rng: np.random.Generator) -> Image:
    noise = rng.normal(rng.uniform(30, 200), rng.uniform(5, 60), (_SIDE_PX, _SIDE_PX))
    return np.clip(noise, 0, 255).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator) -> Image:
    coarse = rng.integers(0, 256, (int(rng.integers(3, 30)),) * 2, np.uint8)
    smooth = cv2.resize(coarse, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.uint8)


def _text(rng: np.random.Generator) -> Image:
    """Draw lines of letters, dark on light or light on dark."""
    paper, ink = (20, 230) if rng.random() < 0.5 else (230, 20)
    page = np.full((_SIDE_PX, _SIDE_PX), paper, np.uint8)
    scale = float(rng.uniform(0.3, 0.8))
    for y in range(15, _SIDE_PX, round(40 * scale)):
        line = "".join(chr(code) for code in rng.integers(32, 123, 40))
        cv2.putText(page, line, (5, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return page


def _quarter(image: Image, rng: np.random.Generator) -> Image:
    height, width = (max(side // 2, 1) for side in image.shape)
    y = int(rng.integers(0, image.shape[0] - height + 1))
    x = int(rng.integers(0, image.shape[1] - width + 1))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _tiles(image: Image, rng: np.random.Generator) -> Image:
    """Shuffle sixteen tiles."""
    height, width = (max(side // 4, 1) for side in image.shape)
    whole = np.asarray(cv2.resize(image, (4 * width, 4 * height)), np.uint8)
    tiles = whole.reshape(4, height, 4, width).swapaxes(1, 2).reshape(16, height, width)
    mixed = tiles[rng.permutation(16)].reshape(4, 4, height, width).swapaxes(1, 2)
    return mixed.reshape(4 * height, 4 * width)


def scored(classifier: Classifier, images: Sequence[Image]) -> dict[str, NDArray[np.float32]]:
    """Return the `(N,)` scores of images, each higher for what is foreign."""
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in SCORES}
    for start in range(0, len(images), _BATCH):
        batch = preprocess_batch(images[start : start + _BATCH], classifier.contract.preprocess)
        answers = classifier.answers(batch)
        if answers.novelty is not None:
            parts["novelty"].append(answers.novelty)
        parts["1 - largest p"].append(1 - answers.probabilities.max(axis=1))
        logits = classifier.logits(batch)
        parts["energy"].append(-np.logaddexp.reduce(logits, axis=1))
    return {name: np.concatenate(values) for name, values in parts.items() if values}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--brain", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--foreign", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    classifier = Classifier.load(options.model, device="cpu")
    gate = classifier.contract.rejection
    limit = None if gate is None else gate.max_novelty
    results: dict[str, Any] = {"model": classifier.contract.name, "max_novelty": limit}

    click.echo(f"{'rejected as foreign':<28}{'n':>6}{'%':>22}" + _header())
    brains: dict[str, list[Image]] = {str(one): folder(one) for one in options.brain}
    everything = [image for images in brains.values() for image in images]
    inside = scored(classifier, everything)
    if limit is None or "novelty" not in inside:
        click.echo("This model has no gate: it answers every image.")
        limit = None
    start = 0
    for name, images in brains.items():
        part = {key: values[start : start + len(images)] for key, values in inside.items()}
        start += len(images)
        results[name] = _shown("/".join(Path(name).parts[-2:]), part, None, limit)
    results["all brain"] = _shown("all brain", inside, None, limit)
    outside: list[dict[str, NDArray[np.float32]]] = []
    foreign = [(str(one), folder(one)) for one in options.foreign]
    for name, images in [*foreign, *packaged(), *dicom(), *drawn(rng)]:
        if images:
            outside.append(scored(classifier, images))
            results[name] = _shown(Path(name).name, outside[-1], inside, limit)
    joined = {key: np.concatenate([one[key] for one in outside]) for key in inside}
    results["all foreign"] = _shown("all foreign", joined, inside, limit)
    if "novelty" in inside:
        interval = bootstrap(inside["novelty"], joined["novelty"], rng)
        results["all foreign"]["auroc novelty_ci95"] = interval
        click.echo(f"{'  AUROC of novelty, 95 %':<56}{interval[0]:>13.4f}-{interval[1]:.4f}")
    for name, images in altered(everything, rng):
        label = f"brain, {name}"
        results[label] = _shown(label, scored(classifier, images), inside, limit)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def bootstrap(
    inside: NDArray[np.float32], outside: NDArray[np.float32], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the AUROC, images of either side drawn again with return."""
    truth = np.repeat([False, True], [len(inside), len(outside)])
    values = [
        auroc(truth, np.concatenate([rng.choice(one, len(one)) for one in (inside, outside)]))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile([value for value in values if value is not None], [0.025, 0.975])
    return float(low), float(high)


def _header() -> str:
    return "".join(f"{'AUROC ' + name:>22}" for name in SCORES)


def _shown(
    name: str,
    scores: dict[str, NDArray[np.float32]],
    brain: dict[str, NDArray[np.float32]] | None,
    limit: float | None,
) -> dict[str, Any]:
    """Print a group's row and return its figures."""
    n = len(next(iter(scores.values())))
    values: dict[str, Any] = {"n": n}
    line = f"{name[:27]:<28}{n:>6}"
    if limit is None:
        line += f"{'-':>22}"
    else:
        rejected = int((~(scores["novelty"] <= limit)).sum())
        values |= {"rejected": ratio(rejected, n), "rejected_ci95": wilson(rejected, n)}
        low, high = values["rejected_ci95"]
        share = f"{100 * rejected / n:.1f} ({100 * low:.1f}-{100 * high:.1f})"
        line += f"{share:>22}"
    for score in SCORES if brain is not None else ():
        if brain is None or score not in scores:
            line += f"{'-':>22}"
            continue
        truth = np.repeat([False, True], [len(brain[score]), n])
        values[f"auroc {score}"] = auroc(truth, np.concatenate([brain[score], scores[score]]))
        line += f"{values[f'auroc {score}']:>22.4f}"
    click.echo(line)
    return values


if __name__ == "__main__":
    main()
