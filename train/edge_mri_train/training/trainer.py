"""One run's network, images and state: the epochs, and what is kept after each."""

import copy
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
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.terminal.progress import Progress
from edge_mri_train.augmentation.pipeline import Augmentation, Donors
from edge_mri_train.data.folders import Sample
from edge_mri_train.errors import RunFolderError
from edge_mri_train.learning.batches import Batches
from edge_mri_train.learning.distillation import load_teachers
from edge_mri_train.learning.hints import Hints
from edge_mri_train.learning.last_layers import fit_last_layers
from edge_mri_train.learning.objective import Objective, Weights
from edge_mri_train.learning.optimizer import adamw, averaged, one_cycle
from edge_mri_train.learning.order import Order
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.learning.slices import Slices
from edge_mri_train.learning.starting_share import go_back
from edge_mri_train.networks.architectures import normalise
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.networks.initial_weights import load_initial_weights
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.runs import CHECKPOINT
from edge_mri_train.training.configured import build_network, resolve_device
from edge_mri_train.training.dividing import label_space, require_all_types
from edge_mri_train.training.history import Epoch, epoch_line, validation_line, write_history
from edge_mri_train.training.last_state import OF_A_PLACE, save_last, take_up
from edge_mri_train.training.validation import validate

_STATISTICS_IMAGES = 256
_ANEW_IMAGES = 1024


class Trainer:
    """Trains a run's epochs; making and starting it writes nothing.

    Args:
        config: What to do.
        samples: The images of both sides.
        seen: What the model will remember of them.
        out: The run's folder.
        progress: Where to say how it goes.
        ranks: Which of the run's processes this is.
        licence: What comes with its starting weights and teachers; "" if nothing is stated.
        space: Of the samples' labels; None: the default one.
    """

    def __init__(
        self,
        config: TrainConfig,
        samples: Sequence[Sample],
        seen: bytes,
        out: Path,
        progress: Progress,
        ranks: Ranks | None = None,
        *,
        licence: str = "",
        space: LabelSpace | None = None,
    ) -> None:
        self.config = config
        self.seen = seen
        self.licence = licence
        self.out = out
        self.progress = progress
        self.ranks = ranks or Ranks()
        self.device = resolve_device(config.device, self.ranks)
        self.space = label_space(config, samples, space)
        self.spec = PreprocessSpec(config.image_size)
        self.train_samples = [sample for sample in samples if sample.split == "train"]
        self.val_samples = [sample for sample in samples if sample.split == "val"]
        require_all_types("training", self.train_samples, self.space)
        require_all_types("validation", self.val_samples, self.space)
        torch.manual_seed(config.seed)
        self.network = build_network(config, len(self.space.classes), self.space)
        teachers = load_teachers(config.distill, self.space, self.spec, config.named)
        self.teachers = [teacher.network for teacher in teachers]
        self.hints = None
        if teachers and config.distill_features:
            theirs = [(teacher.network, teacher.architecture) for teacher in teachers]
            self.hints = Hints((self.network, config.arch), theirs)
        self.history: list[Epoch] = []
        self.beginning: dict[str, torch.Tensor] | None = None

    @property
    def fits_first(self) -> bool:
        """Whether the last layers are fitted before the first epoch."""
        return self.config.frozen_trunk in ("first", "always")

    def start(self, state: dict[str, Any] | None = None) -> None:
        """Load images and starting weights, or the state after an epoch."""
        config = self.config
        self.began = time.perf_counter()
        sides = {"training": self.train_samples, "validation": self.val_samples}
        self.train, self.val = (
            Slices.load(samples, self.spec, f"{side} images", self.progress, self.space)
            for side, samples in sides.items()
        )
        sets = [one.root for one in self.train_samples]
        self.order = Order(self.train.labels, sets, config, self.space)
        self.steps = self.order.steps
        donors = Donors.of(self.train.pixels[:, 0], self.train.masks)
        self.batches = Batches(
            self.train,
            self.space,
            Augmentation(config.augment, donors),
            self.order.loss_weights,
            config.seed,
        )
        if state is None:
            some = normalise(self._sample(_STATISTICS_IMAGES))
            filled = load_initial_weights(self.network, config.arch, config.init_weights, some)
            if config.start_share:
                own = self.network.state_dict()
                self.beginning = {name: own[name].clone() for name in sorted(filled)}
        else:
            self.beginning = state.get("beginning")
            if config.start_share and self.beginning is None:
                raise RunFolderError(
                    f"{self.out} was begun by an earlier version, which kept no starting weights "
                    "to go back to; start a new run"
                )
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if state is None and self.fits_first:
            planes = "planes.weight" not in filled
            fit_last_layers(self.network, self.train, self.device, self.space, planes=planes)
        for teacher in self.teachers:
            teacher.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shares = Weights(
            labels=config.label_weight,
            lesion=config.lesion_weight,
            teacher=config.distill_weight,
            teacher_map=config.distill_map,
            features=config.distill_features,
            temperature=config.distill_temperature,
            smoothing=config.label_smoothing,
        )
        step = Objective(self.network, shares, self.teachers, self.hints).to(self.device)
        if config.compile:
            step.compile()
        self.objective = self.ranks.wrap(step, self.device)
        self.average = averaged(self.network, config.ema) if config.ema else None
        self.optimizer = adamw(step, config)
        self.scheduler = one_cycle(self.optimizer, config, config.epochs * self.steps)
        if state is not None:
            take_up(self, state)

    @property
    def mixes_precision(self) -> bool:
        """Whether a training step computes in bfloat16 where that is safe."""
        if self.config.precision == "auto":
            return self.device.type == "cuda"
        return self.config.precision == "bfloat16"

    @property
    def kept(self) -> nn.Module:
        """What is validated and kept: the averaged weights, or those of the last step."""
        return self.network if self.average is None else self.average.module

    def go_on(self) -> Path:
        """Train the epochs that are left; returns the path of the best checkpoint."""
        if self.fits_first and not self.history and self.ranks.is_first:
            self._finish_epoch(0, None, self.began)
        done = self.history[-1]["epoch"] if self.history else 0
        last = 0 if self.config.frozen_trunk == "always" else self.config.epochs
        for epoch in range(done + 1, last + 1):
            if self.ranks.agree(self._is_over()):
                self.progress.say(f"No better score in {self.config.patience} epochs: stopped.")
                break
            started = time.perf_counter()
            loss = self._train_epoch(epoch)
            if self.ranks.is_first:
                self._finish_epoch(epoch, loss, started)
        if self.config.start_share and self.ranks.is_first:
            self._go_back()
        if self.config.refit and last and self.ranks.is_first:
            self._refit()
        return self.out / CHECKPOINT

    def _go_back(self) -> None:
        """Offer what lies between the last epoch and the starting weights."""
        network, share = copy.deepcopy(self.kept), self.config.start_share
        assert self.beginning is not None  # taken or asked for when the run began
        go_back(network, self.beginning, share, self._sample(_ANEW_IMAGES))
        last = self.history[-1] if self.history else {}
        self._offer(f"{100 * share:g} % of the starting weights", network, {**last, "start": share})

    def _refit(self) -> None:
        """Fit the last layers of what is kept anew, and offer that.

        Done a second time it finds the same: what it fits depends on the features alone.
        """
        best = self._saved()
        network = best.network.to(self.device)
        fit_last_layers(network, self.train, self.device, self.space)
        made = {**best.training["validation"], "refit": True}
        self._offer("last layers fitted anew", network, made)

    def _offer(self, name: str, network: nn.Module, made: dict[str, Any]) -> None:
        """Validate a network, and keep it where it scores better than what was kept."""
        before = self._saved().training["validation"]
        entry = made | validate(network, self.val, self.space, self.device, self.config.specificity)
        better = entry["score"] > before["score"]
        self.progress.say(
            f"{name}: {validation_line(entry)}"
            + ("" if better else ", no better than what is kept: left as it was")
        )
        if better:
            self._save_checkpoint(entry, network)

    def _saved(self) -> Checkpoint:
        return Checkpoint.load(self.out / CHECKPOINT, self.config.named)

    def _sample(self, count: int) -> torch.Tensor:
        """Return `count` to twice as many training images, `(N, 1, S, S)` uint8, evenly taken."""
        return torch.from_numpy(self.train.pixels[:: max(len(self.train) // count, 1)])

    def _is_over(self) -> bool:
        scores = [entry["score"] for entry in self.history]
        patience = self.config.patience
        return patience is not None and len(scores) - 1 - int(np.argmax([*scores, -1])) >= patience

    def _train_epoch(self, epoch: int) -> float:
        config = self.config
        torch.manual_seed(self.ranks.seed(1_000_003 * config.seed + epoch))  # dropout
        self.objective.train()
        total = 0.0
        with self.progress.bar(f"epoch {epoch}/{config.epochs}", self.steps) as step:
            for batch in self.batches.epoch(epoch, self.order.batches(epoch), self.ranks):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixes_precision):
                    loss = self.objective(batch.to(self.device))
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.objective.parameters(), config.max_gradient_norm)
                self.optimizer.step()
                self.scheduler.step()
                if self.average is not None:
                    self.average.update_parameters(self.network)
                total += loss.item()
                step()
        if not math.isfinite(total):
            raise RunFolderError(
                f"the loss is no longer finite in epoch {epoch}; start again with a lower "
                f"--learning-rate than {config.learning_rate:g}"
            )
        return total / self.steps

    def _finish_epoch(self, epoch: int, loss: float | None, started: float) -> None:
        measured = validate(self.kept, self.val, self.space, self.device, self.config.specificity)
        entry = {"epoch": epoch, "train_loss": loss, **measured}
        entry["seconds"] = round(time.perf_counter() - started, 1)
        best = max((one["score"] for one in self.history), default=-math.inf)
        self.history.append(entry)
        if entry["score"] > best:
            self._save_checkpoint(entry, self.kept)
        self._save_progress()
        self.progress.say(epoch_line(entry, self.config.epochs, is_best=entry["score"] > best))

    def _save_checkpoint(self, entry: Epoch, network: nn.Module) -> None:
        config = asdict(self.config)
        for private in OF_A_PLACE:
            del config[private]
        training = {
            "data": sorted({"/".join(one.root.resolve().parts[-2:]) for one in self.train_samples}),
            "images": {"train": len(self.train_samples), "val": len(self.val_samples)},
            "init_weights": Path(self.config.init_weights).name,
            "teachers": len(self.teachers),
            "config": config,
            "validation": entry,
            "toolkit_version": __version__,
        }
        if self.licence:
            training["licence"] = self.licence
        Checkpoint(
            self.config.arch,
            self.space,
            self.spec,
            network,
            temperature=entry["temperature"],
            tumor_threshold=entry["tumor_threshold"],
            training=training,
            seen=self.seen,
        ).save(self.out / CHECKPOINT)

    def _save_progress(self) -> None:
        """Write history and curves, then the state: what is killed between is done again."""
        write_history(self.history, self.out)
        save_last(self)
