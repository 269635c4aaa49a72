"""Training one network: from labelled folders to a run folder with its best checkpoint.

    runs/NAME/
        config.json      what was asked for
        split.csv        which image was on which side
        seen.bin         hashes of all of them, by which the model knows what it has seen
        history.json     one entry an epoch
        curves.png       the same as a picture
        checkpoint.pt    the best epoch by validation balanced accuracy
        last.pt          the state after the last whole epoch, from which `resume` goes on

All random numbers of an epoch follow from the seed and its number, so that a run that was killed
and resumed computes what it would have computed without.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edge_mri import __version__
from edge_mri.atomic import atomic_path
from edge_mri.errors import DeviceError
from edge_mri.labels import LabelSpace
from edge_mri.prediction import softmax
from edge_mri.preprocess import PreprocessSpec
from edge_mri.progress import Progress
from edge_mri_train.architectures import build, normalise
from edge_mri_train.augmentation import augment
from edge_mri_train.checkpoint import Checkpoint, load_state, save_state
from edge_mri_train.config import TrainConfig
from edge_mri_train.curves import draw_curves
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import LabelsMissingError, ManifestError, RunError
from edge_mri_train.evaluation import figures
from edge_mri_train.folders import Sample, breakdown, read_folders
from edge_mri_train.grouping import IdSource
from edge_mri_train.initial_weights import load_initial_weights
from edge_mri_train.layout import Layout
from edge_mri_train.loss import balanced_weights, class_masks, marginal_loss
from edge_mri_train.manifest import Row, check_manifest, read_manifest, with_split, write_manifest
from edge_mri_train.partition import Partition, partition
from edge_mri_train.pixels import load_pixels
from edge_mri_train.runs import CONFIG
from edge_mri_train.scan import fingerprint_files
from edge_mri_train.split import TRAIN, VAL, SplitConfig

CHECKPOINT = "checkpoint.pt"
MANIFEST = "split.csv"
_LAST = "last.pt"
_SEEN = "seen.bin"

_STATISTICS_IMAGES = 256
_VALIDATION_BATCH = 128
_WARM_UP = 0.2  # share of the steps over which the learning rate rises
_SHORTEST_SCHEDULE = 6  # steps; torch divides by zero when the rise is a single one
_MAX_GRADIENT_NORM = 5.0

History = list[dict[str, Any]]


def train(config: TrainConfig, out: Path, progress: Progress) -> Path:
    """Start a run.

    Args:
        config: What to do.
        out: The run's folder; it must not hold a run yet.
        progress: Where to say how it goes.

    Returns:
        The path of the best checkpoint.
    """
    if (out / CONFIG).exists():
        raise RunError(f"{out} holds a run already; continue it with --resume, or choose another")
    divided = _divided(config, progress)
    samples = [row.sample for row in divided.rows]
    seen = SeenImages.of(divided.fingerprints).to_bytes()
    run = _Run(config, samples, seen, out, progress)
    run.start()
    write_manifest(divided.rows, out / MANIFEST)
    with atomic_path(out / _SEEN) as temporary:
        temporary.write_bytes(seen)
    config.write(out / CONFIG)
    return run.go_on()


def resume(out: Path, progress: Progress) -> Path:
    """Go on with a run after its last whole epoch; returns the path of the best checkpoint."""
    config = TrainConfig.read(out / CONFIG)
    rows = read_manifest(out / MANIFEST)
    check_manifest(out / MANIFEST, rows, progress)
    samples = [row.sample for row in rows]
    run = _Run(config, samples, _remembered(out), out, progress)
    run.start(load_state(out / _LAST) if (out / _LAST).exists() else None)
    return run.go_on()


def _remembered(out: Path) -> bytes:
    try:
        return (out / _SEEN).read_bytes()
    except OSError as error:
        raise RunError(
            f"{out / _SEEN} cannot be read: {error.strerror}; start a new run"
        ) from error


def resolve_device(name: str) -> torch.device:
    """Return the torch device for `auto`, `cpu` or `cuda`; `DeviceError` if it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("CUDA was asked for, but torch finds no usable GPU; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _divided(config: TrainConfig, progress: Progress) -> Partition:
    """Divide the images, or take the division of a manifest."""
    if config.split is not None:
        path = Path(config.split)
        rows = read_manifest(path)
        check_manifest(path, rows, progress)
        rows = [row for row in _chosen(path, rows, config.fold) if row.sample.split in (TRAIN, VAL)]
        progress.say(breakdown([row.sample for row in rows]))
        return Partition(rows, fingerprint_files([row.sample.file for row in rows], progress))
    layout = Layout.from_options(config.maps, Path(config.index) if config.index else None)
    samples = _for_training(read_folders([Path(root) for root in config.data], layout), progress)
    progress.say(breakdown(samples))
    shares = {TRAIN: 1 - config.val_fraction, VAL: config.val_fraction}
    return partition(samples, IdSource(), SplitConfig(shares, config.seed), progress)


def _chosen(path: Path, rows: Sequence[Row], fold: int | None) -> list[Row]:
    """Return the rows with the sides they have when a fold validates."""
    sides = {row.sample.split for row in rows}
    folds = {side for side in sides if side and side.startswith("fold-")}
    if fold is None:
        if folds:
            raise ManifestError(path, f"it has {len(folds)} folds; say which validates with --fold")
        return list(rows)
    if f"fold-{fold}" not in folds:
        raise ManifestError(
            path, f"it has no fold {fold}, only {', '.join(sorted(folds)) or 'none'}"
        )
    return [
        with_split(row, VAL if row.sample.split == f"fold-{fold}" else TRAIN)
        if row.sample.split in folds
        else row
        for row in rows
    ]


def _for_training(samples: Sequence[Sample], progress: Progress) -> list[Sample]:
    """Leave out what lies in test folders."""
    kept = [sample for sample in samples if sample.split != "test"]
    if not kept:
        progress.say("All images lie in a test folder: training on it as it was asked for.")
        return list(samples)
    if len(kept) < len(samples):
        progress.say(f"Left out {len(samples) - len(kept)} images in test folders.")
    return kept


class _Run:
    """One run's network, data and state; making and starting it writes nothing."""

    def __init__(
        self,
        config: TrainConfig,
        samples: Sequence[Sample],
        seen: bytes,
        out: Path,
        progress: Progress,
    ) -> None:
        self.config = config
        self.seen = seen
        self.out = out
        self.progress = progress
        self.device = resolve_device(config.device)
        self.space = _space(config, samples)
        self.spec = PreprocessSpec(config.image_size)
        self.train_samples = [sample for sample in samples if sample.split == "train"]
        self.val_samples = [sample for sample in samples if sample.split == "val"]
        _require_all_types("training", self.train_samples, self.space)
        _require_all_types("validation", self.val_samples, self.space)
        torch.manual_seed(config.seed)
        self.network = build(config.arch, len(self.space.classes), config.image_size)
        self.history: History = []

    def start(self, state: dict[str, Any] | None = None) -> None:
        """Load images and starting weights, or the state after an epoch."""
        config = self.config
        self.pixels = self._pixels(self.train_samples, "training images")
        self.val_pixels = self._pixels(self.val_samples, "validation images")
        self.weights = balanced_weights([sample.label for sample in self.train_samples])
        self.steps = max(len(self.pixels) // config.batch_size, 1)
        if state is None:
            every = max(len(self.pixels) // _STATISTICS_IMAGES, 1)
            load_initial_weights(
                self.network, config.arch, config.init_weights, normalise(self.pixels[::every])
            )
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.network, config), config.learning_rate
        )
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            config.learning_rate,
            total_steps=max(config.epochs * self.steps, _SHORTEST_SCHEDULE),
            pct_start=_WARM_UP,
        )
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.history = state["history"]

    def go_on(self) -> Path:
        """Train the epochs that are left."""
        epochs = self.config.epochs
        masks = class_masks([sample.label for sample in self.train_samples], self.space)
        for epoch in range(len(self.history) + 1, epochs + 1):
            started = time.perf_counter()
            loss = self._train_epoch(epoch, masks)
            entry = {"epoch": epoch, "train_loss": loss, **self._validate()}
            entry["seconds"] = round(time.perf_counter() - started, 1)
            best = max((one["score"] for one in self.history), default=-math.inf)
            self.history.append(entry)
            if entry["score"] > best:
                self._save_checkpoint(entry)
            self._save_progress()
            self.progress.say(_line(entry, epochs, is_best=entry["score"] > best))
        return self.out / CHECKPOINT

    def _pixels(self, samples: Sequence[Sample], label: str) -> torch.Tensor:
        with self.progress.bar(label, len(samples)) as step:
            files = [sample.file for sample in samples]
            return torch.from_numpy(load_pixels(files, self.spec, on_image=step))

    def _order(self, generator: torch.Generator) -> torch.Tensor:
        """Return the positions of an epoch's images."""
        count = len(self.pixels)
        if self.config.sampler == "shuffle":
            return torch.randperm(count, generator=generator)
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def _train_epoch(self, epoch: int, masks: torch.Tensor) -> float:
        config, steps, weights = self.config, self.steps, self.weights
        seed = 1_000_003 * config.seed + epoch
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout
        order = self._order(generator)
        self.network.train()
        total = 0.0
        with self.progress.bar(f"epoch {epoch}/{config.epochs}", steps) as step:
            for batch in torch.split(order, config.batch_size)[:steps]:
                images = normalise(self.pixels[batch].to(self.device))
                if config.augment:
                    images = augment(images, generator)
                logits = self.network(images.contiguous(memory_format=torch.channels_last))
                loss = marginal_loss(
                    logits,
                    masks[batch].to(self.device),
                    config.label_smoothing,
                    None if config.class_weights == "none" else weights[batch].to(self.device),
                )
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.network.parameters(), _MAX_GRADIENT_NORM)
                self.optimizer.step()
                self.scheduler.step()
                total += loss.item()
                step()
        if not math.isfinite(total):
            raise RunError(
                f"the loss is no longer finite in epoch {epoch}; start again with a lower "
                f"--learning-rate than {config.learning_rate:g}"
            )
        return total / steps

    @torch.inference_mode()
    def _validate(self) -> dict[str, Any]:
        self.network.eval()
        labels = [sample.label for sample in self.val_samples]
        logits = torch.cat(
            [
                self.network(normalise(batch.to(self.device))).float().cpu()
                for batch in torch.split(self.val_pixels, _VALIDATION_BATCH)
            ]
        )
        loss = marginal_loss(logits, class_masks(labels, self.space)).item()
        measured = figures(softmax(logits.numpy()), labels, self.space)
        axes = {
            f"{axis}_{figure}": measured[axis][figure] if measured[axis] else None
            for axis in ("type", "plane", "joint")
            for figure in ("n", "accuracy", "balanced_accuracy")
        }
        scores = [axes["type_balanced_accuracy"], axes["plane_balanced_accuracy"]]
        score = float(np.mean([value for value in scores if value is not None]))
        return {"val_loss": loss, "score": score, **axes}

    def _save_checkpoint(self, entry: dict[str, Any]) -> None:
        config = asdict(self.config)
        for private in ("data", "device", "index", "init_weights", "split"):
            del config[private]
        training = {
            "data": sorted({"/".join(one.root.resolve().parts[-2:]) for one in self.train_samples}),
            "images": {"train": len(self.train_samples), "val": len(self.val_samples)},
            "init_weights": Path(self.config.init_weights).name,
            "config": config,
            "validation": entry,
            "toolkit_version": __version__,
        }
        Checkpoint(
            self.config.arch,
            self.space,
            self.spec,
            self.network,
            training=training,
            seen=self.seen,
        ).save(self.out / CHECKPOINT)

    def _save_progress(self) -> None:
        """Write history and curves, then the state: what is killed between is done again."""
        with atomic_path(self.out / "history.json") as temporary:
            temporary.write_text(json.dumps(self.history, indent=2) + "\n", encoding="utf-8")
        draw_curves(self.history, self.out / "curves.png")
        save_state(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "history": self.history,
            },
            self.out / _LAST,
        )


def _space(config: TrainConfig, samples: Sequence[Sample]) -> LabelSpace:
    has_planes = any(sample.label.plane for sample in samples)
    if config.task == "auto":
        return LabelSpace.for_task("type-plane" if has_planes else "type")
    if config.task == "type-plane" and not has_planes:
        raise LabelsMissingError(
            "no class folder names a plane; use --task type, or add a set whose folders do, "
            "such as glioma_axial"
        )
    return LabelSpace.for_task(config.task)


def _require_all_types(side: str, samples: Sequence[Sample], space: LabelSpace) -> None:
    found = {sample.label.type for sample in samples}
    if missing := [name for name in space.types if name not in found]:
        raise LabelsMissingError(
            f"no {side} image of type {', '.join(missing)}; expected at least two different "
            "images of each type, more where --val-fraction is small"
        )


def _parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels, none for norms and biases."""
    parameters = [one for one in network.parameters() if one.requires_grad]
    return [
        {
            "params": [one for one in parameters if one.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]


def _line(entry: dict[str, Any], epochs: int, *, is_best: bool) -> str:
    plane = entry["plane_balanced_accuracy"]
    return (
        f"epoch {entry['epoch']:>3}/{epochs}  loss {entry['train_loss']:.3f}  "
        f"val {entry['val_loss']:.3f}  type {100 * entry['type_balanced_accuracy']:.2f} %  "
        + (f"plane {100 * plane:.2f} %  " if plane is not None else "")
        + f"{entry['seconds']:.0f} s"
        + ("  best" if is_best else "")
    )
