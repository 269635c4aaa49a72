"""What `check_cuda` asks of a GPU: each item gives its figures, or raises what it missed."""

import edge_mri  # noqa: F401  # settles what onnxruntime reads when it is loaded

# isort: split
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.images import ImageFiles, read_image
from edge_mri.images.preprocess import preprocess_batch
from edge_mri.model.providers import CPU, CUDA, settings_of
from edge_mri.phantoms.phantom import PhantomConfig, write_phantoms
from edge_mri.process.workers import available_threads
from edge_mri_export.guard.answers import Answers
from edge_mri_export.guard.comparison import compare
from edge_mri_export.guard.parity import MAX_DROP
from edge_mri_train.networks.checkpoint import Checkpoint

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SAME = 0.02  # of a probability, whatever the size of the batch that an image is in
CLOSE = 0.05  # of the loss of an epoch in float32, that of one in bfloat16 may be away
TRAINING = ("--arch", "edge_net", "--init-weights", "shipped", "--epochs", "1", "--seed", "1")
Figures = dict[str, Any]


class Missed(Exception):  # noqa: N818  # no error of the program: a row of the report
    """What was measured is not what it should be."""

    def __init__(self, reason: str, figures: Figures | None = None) -> None:
        super().__init__(reason)
        self.figures = figures or {}


class NotRun(Exception):  # noqa: N818  # likewise
    """What it takes is not there."""


class Check:
    """What the items share.

    Attributes:
        device: `cuda`, or `cpu` to try the script.
        folder: For files of its own; the phantoms are in `phantoms`.
        files: The images that are answered.
        models: What is compared, by precision, as far as it was made.
        ends: When no item may be running any more, by `time.monotonic`.
    """

    def __init__(self, device: str, folder: Path, data: Path | None, seconds: float) -> None:
        self.device, self.folder = device, folder
        self.ends = time.monotonic() + seconds
        self.phantoms = folder / "phantoms"
        write_phantoms(self.phantoms, PhantomConfig(count=12, size_px=256))
        self.files = list(ImageFiles([data or self.phantoms]))[:1000]
        self.models = {"int8": SHIPPED_MODEL}

    @property
    def left_s(self) -> float:
        """How long there is."""
        return self.ends - time.monotonic()

    def need_gpu(self) -> None:
        """Raise `NotRun` where the items for a GPU cannot run."""
        if self.device != "cuda":
            raise NotRun("it asks for a GPU, and this is a trial on the CPU")
        if not torch.cuda.is_available():
            raise NotRun("PyTorch sees no GPU")

    def open(self, precision: str, device: str) -> Classifier:
        """Open one of the models."""
        if precision not in self.models:
            raise NotRun(f"there is no {precision} file: the item `files` says why")
        if device == "cuda" and CUDA not in onnxruntime.get_available_providers():
            raise NotRun("this onnxruntime has no CUDA; install onnxruntime-gpu in its place")
        return Classifier.load(self.models[precision], device=device)

    def pixels(self, classifier: Classifier, count: int) -> NDArray[np.uint8]:
        """Return so many images as `(N, 1, S, S)` network input, in turn where there are fewer."""
        files = [self.files[row % len(self.files)] for row in range(count)]
        return preprocess_batch(map(read_image, files), classifier.contract.preprocess)

    def command(self, *arguments: str, processes: int = 0) -> float:
        """Run a command of edge-mri, under `torchrun` where there are processes; seconds."""
        starter = ["-m", "edge_mri", *arguments]
        if processes:
            torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
            starter = [*torchrun, str(processes), "-m", "edge_mri_train", *arguments[1:]]
        paths = os.pathsep.join(path for path in sys.path if path)
        started = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, *starter],
                env=os.environ | {"PYTHONPATH": paths},
                capture_output=True,
                text=True,
                timeout=max(self.left_s, 1),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotRun("the time was over before it ended") from error
        if done.returncode:
            said = [*done.stderr.strip().splitlines(), "nothing was said"]
            raise Missed(f"edge-mri {arguments[0]}: exit code {done.returncode}: {said[-2]}")
        return time.monotonic() - started


def provider(check: Check) -> Figures:
    """Which provider really ran the layers of the packaged model, by onnxruntime's profile."""
    wanted = CUDA if check.device == "cuda" else CPU
    classifier = check.open("int8", check.device)
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(check.folder / "profile")
    names = list(dict.fromkeys((wanted, CPU)))
    session = onnxruntime.InferenceSession(
        str(SHIPPED_MODEL), options, names, [settings_of(name) for name in names]
    )
    session.run(["logits"], {"pixels": check.pixels(classifier, 1)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("_kernel_time") and "Conv" in event["args"]["op_name"]:
            ran[event["args"]["provider"]] += 1
    figures = {"provider": classifier.provider, "convolutions": dict(ran)}
    if classifier.provider != wanted or set(ran) != {wanted}:
        raise Missed(f"expected all convolutions on {wanted}", figures)
    return figures


def files(check: Check) -> Figures:
    """Train a little on the CPU, from what ships, and export it in FP32 and FP16."""
    run, model = check.folder / "run", check.folder / "model.onnx"
    check.command(
        *("train", "--data", str(check.phantoms), "--out", str(run), "--device", "cpu", *TRAINING)
    )
    # An epoch on drawings leaves near ties, and one of 36 images of a type is 2.8 points.
    images = ("--calibration", str(check.phantoms), "--max-drop", "5")
    check.command("export", str(run), "--quantize", "fp16", "--output", str(model), *images)
    check.models |= {"fp32": model, "fp16": model.with_name("model_fp16.onnx")}
    return {name: path.stat().st_size for name, path in check.models.items()}


def parity(precision: str) -> Callable[[Check], Figures]:
    """Return the item that compares a file's answers on the device with those of the CPU."""

    def item(check: Check) -> Figures:
        there, here = (check.open(precision, device) for device in (check.device, "cpu"))
        pixels = check.pixels(there, min(len(check.files), 500))
        outputs = [name for name in ("logits", "lesion") if name in there.graph.outputs]
        said = [Answers(*one.graph.run(outputs, pixels)) for one in (here, there)]
        found = compare(said[0], said[1], [], [], there.contract)
        figures = found.to_report()
        if losses := found.losses(MAX_DROP):
            raise Missed("; ".join(losses), figures)
        return figures

    item.__doc__ = f"The {precision.upper()} file answers on the device as on the CPU."
    return item


def batches(check: Check) -> Figures:
    """Batches of 1 to 256: the same answers in each, and images a second."""
    classifier = check.open("fp32" if "fp32" in check.models else "int8", check.device)
    pixels = check.pixels(classifier, BATCHES[-1])
    alone = np.concatenate([classifier.probabilities(pixels[row : row + 1]) for row in range(16)])
    speeds, furthest = {}, 0.0
    for size in BATCHES:
        if check.left_s < 0:
            raise NotRun(f"the time was over before batches of {size}")
        batch = pixels[:size]
        given = classifier.probabilities(batch)
        count = min(size, len(alone))
        furthest = max(furthest, float(np.abs(given[:count] - alone[:count]).max()))
        taken: list[float] = []
        while len(taken) < 3 or (sum(taken) < 0.5 and len(taken) < 200):
            started = time.perf_counter()
            classifier.probabilities(batch)
            taken.append(time.perf_counter() - started)
        speeds[str(size)] = round(size / median(taken), 1)
    figures = {"images_per_s": speeds, "largest_difference": furthest}
    if not furthest <= SAME:
        raise Missed(f"a probability differs by {furthest:.3g} with the size of the batch", figures)
    return figures


def folder(check: Check) -> Figures:
    """Whole files: decoded on the CPU's cores, answered on the device; beside the CPU alone."""
    turns = [check.files[row % len(check.files)] for row in range(1000)]
    speeds, types = {}, []
    for device in (check.device, "cpu"):
        classifier = check.open("int8", device)
        list(classifier.stream(turns[:64]))
        started = time.perf_counter()
        types.append([record.type for record in classifier.stream(turns)])
        speeds[f"{device}_images_per_s"] = round(len(turns) / (time.perf_counter() - started), 1)
    changed = sum(one != other for one, other in zip(*types, strict=True))
    figures = speeds | {"n": len(turns), "changed": changed, "threads": available_threads()}
    if changed > MAX_DROP / 100 * len(turns):
        raise Missed(f"{changed} of {len(turns)} files have another type than on the CPU", figures)
    return figures


def bfloat16(check: Check) -> Figures:
    """An epoch in bfloat16 beside one in float32: the loss is close, the weights are float32."""
    data = ("--data", str(check.phantoms), "--device", check.device)
    losses, figures = [], {}
    for precision in ("float32", "bfloat16"):
        run = check.folder / precision
        arguments = ("train", *data, "--out", str(run), "--precision", precision, *TRAINING)
        figures[f"{precision}_s"] = round(check.command(*arguments), 1)
        history = json.loads((run / "history.json").read_text(encoding="utf-8"))
        losses.append(float(history[-1]["train_loss"]))
        figures[f"{precision}_loss"] = losses[-1]
    kept = Checkpoint.load(check.folder / "bfloat16/checkpoint.pt").network.state_dict().values()
    kinds = {str(one.dtype) for one in kept if one.is_floating_point()}
    if kinds != {"torch.float32"}:
        raise Missed(f"the weights are {', '.join(sorted(kinds))}, expected float32", figures)
    if not abs(losses[1] - losses[0]) <= CLOSE * losses[0]:
        raise Missed(f"the loss is {losses[1]:.4g}, {losses[0]:.4g} in float32", figures)
    return figures


def torchrun(check: Check) -> Figures:
    """`torchrun` with a process a GPU; on the CPU with two."""
    processes = 2 if check.device == "cpu" else torch.cuda.device_count()
    out = check.folder / "several"
    data = ("--data", str(check.phantoms), "--out", str(out), "--device", check.device)
    seconds = check.command("train", *data, *TRAINING, processes=processes)
    if not (out / "checkpoint.pt").is_file():
        raise Missed("it ended and left no checkpoint")
    alone = "one GPU: averaging between processes was not tried" if processes == 1 else ""
    return {"processes": processes, "seconds": round(seconds, 1), "note": alone}


ITEMS: dict[str, tuple[Callable[[Check], Figures], bool]] = {
    "provider": (provider, True),
    "files": (files, False),
    "parity int8": (parity("int8"), True),
    "parity fp32": (parity("fp32"), True),
    "parity fp16": (parity("fp16"), True),
    "batches": (batches, True),
    "folder": (folder, True),
    "bfloat16": (bfloat16, True),
    "torchrun": (torchrun, True),
}
"""The items in their order, and whether they are for the device."""
