"""What a training run is told, as one frozen value for Python, command line and tests."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edge_mri.errors import EdgeMriError, OptionError
from edge_mri.labels import TASKS
from edge_mri.storage.atomic import write_json
from edge_mri.storage.json_text import each_text
from edge_mri.storage.spelling import meant, spelled
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.errors import RunFolderError
from edge_mri_train.settings.data_file import read_text
from edge_mri_train.settings.rules import (
    ABOVE_0,
    SHARE,
    SWITCH,
    TEXT,
    TEXTS,
    WEIGHT,
    Rule,
    number,
    one_of,
    or_none,
    whole,
)

CLASS_WEIGHTS = ("none", "balanced")
SAMPLERS = ("shuffle", "weighted", "sets")
FOLDERS = "folders"
"""What `--labels` calls the names of the class folders."""
STARTS = ("imagenet", "shipped", "none")
"""The starting weights that are no file."""
PRECISIONS = ("auto", "float32", "bfloat16")
FROZEN = ("auto", "no", "first", "always")

_MAX_SEED = 2**32 - 1
_LISTS = ("data", "distill", "distill_arch", "maps", "validate_only")


_RULES = {
    "data": TEXTS,
    "task": one_of("auto", *TASKS),
    "arch": TEXT,
    "init_weights": TEXT,
    "epochs": whole(1),
    "learning_rate": ABOVE_0,
    "image_size": Rule(lambda one: type(one) is int, "a whole number of pixels"),
    "batch_size": whole(1),
    "weight_decay": WEIGHT,
    "label_smoothing": SHARE,
    "augment": Rule(lambda one: isinstance(one, AugmentConfig), "a table of changes"),
    "val_fraction": number(lambda one: 0 < one < 1, "above 0 and below 1"),
    "maps": TEXTS,
    "labels": or_none(TEXT),
    "pattern": or_none(TEXT),
    "index": or_none(TEXT),
    "split": or_none(TEXT),
    "fold": or_none(whole(0)),
    "validate_only": TEXTS,
    "class_weights": one_of(*CLASS_WEIGHTS),
    "sampler": one_of(*SAMPLERS),
    "tumor_free": or_none(SHARE),
    "lesion_weight": WEIGHT,
    "label_weight": WEIGHT,
    "dropout": or_none(SHARE),
    "distill": TEXTS,
    "distill_arch": TEXTS,
    "distill_weight": WEIGHT,
    "distill_map": WEIGHT,
    "distill_features": WEIGHT,
    "distill_temperature": ABOVE_0,
    "ema": SHARE,
    "warm_up": SHARE,
    "max_gradient_norm": ABOVE_0,
    "patience": or_none(whole(1)),
    "specificity": or_none(SHARE),
    "start_share": SHARE,
    "frozen_trunk": one_of(*FROZEN),
    "refit": SWITCH,
    "compile": SWITCH,
    "precision": one_of(*PRECISIONS),
    "seed": whole(0, _MAX_SEED),
    "device": one_of("auto", "cpu", "cuda"),
}


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def require_settings(values: Mapping[str, Any]) -> None:
    """Raise `OptionError` where a field of `TrainConfig` has a value that it cannot have."""
    for name, value in values.items():
        if not _RULES[name].holds(value):
            raise OptionError(f"{name} is {value!r}; expected {_RULES[name].expected}")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes.

    Attributes:
        data: Folders with class folders; may be empty where `split` is given.
        task: `type-plane`, `type`, or `auto`: planes where a folder names one.
        arch: Name of the network; `package.module:function` runs that function.
        init_weights: `imagenet`, `shipped`, `none`, or a file.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW's, on weights but not on norms and biases.
        label_smoothing: Weight of a uniform target, 0 or more and below 1.
        image_size: Side of the network input, in pixels.
        augment: How often training images are changed, and how.
        val_fraction: Share of the images held out for validation.
        maps: `FOLDER=LABEL` for further folder names.
        labels: A TOML file of labels, or `folders`: the class folders' names; None: the default
            space, or that of the manifest.
        pattern: A regular expression that reads file names.
        index: A CSV that names the images.
        split: A manifest, which then says what is trained on and validated with.
        fold: Which fold of the manifest validates, the others train.
        validate_only: Sets of the manifest, by their folders' names, that only validate.
        class_weights: `balanced` weighs each image's loss by one over its class's count; `none`.
        sampler: `shuffle`; or with replacement: `weighted` draws classes equally often, `sets` an
            image set by the root of its size, among tumours and among images without one.
        tumor_free: Share of tumour-free images that an epoch draws; None: as they come.
        lesion_weight: Share of the outlines in the loss of a network with a lesion map.
        label_weight: Share of the labels in it.
        dropout: Probability of the network's dropout layers; None: the network's own.
        distill: Checkpoints of teachers.
        distill_arch: Functions that may run to make teachers' networks, beside `arch`.
        distill_weight: Share of the teachers' answers in the loss.
        distill_map: Share of their lesion maps in those.
        distill_features: Share of their features in it (`edge_mri_train.learning.hints`).
        distill_temperature: Softens the answers of teachers and student (Hinton et al. 2015).
        ema: Decay a step of the averaged weights that are validated and kept; 0: none.
        warm_up: Share of the steps over which the learning rate rises.
        max_gradient_norm: Gradients are clipped to it.
        patience: Stop after so many epochs without a better score; None: never.
        specificity: Share of the tumour-free validation images, averaged over the sets, that the
            operating point calls free at least; None: found tumours and false alarms of the worst
            sets are balanced (`edge_mri_train.training.operating_point`).
        start_share: Share of the starting weights in what is kept at the end, where that scores
            better (`edge_mri_train.learning.starting_share`); 0: none.
        frozen_trunk: Whether the last layers are fitted to the starting weights' features: `first`,
            before everything trains; `always`, and nothing else trains; `no`; `auto`:
            `edge_mri_train.training.frozen_trunk` chooses.
        refit: Whether the last layers of a network with a lesion map are fitted anew at the end.
        compile: Whether `torch.compile` makes the training step.
        precision: Of the training step: `float32`, `bfloat16` (mixed with it by autocast), or
            `auto`: bfloat16 on CUDA alone. Weights, averages and validation are float32.
        seed: Of split, initial weights, order and augmentation.
        device: `auto`, `cpu` or `cuda`.
    """

    data: tuple[str, ...]
    task: str
    arch: str
    init_weights: str
    epochs: int
    learning_rate: float
    image_size: int
    batch_size: int = 32
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    val_fraction: float = 1 / 3
    maps: tuple[str, ...] = ()
    labels: str | None = None
    pattern: str | None = None
    index: str | None = None
    split: str | None = None
    fold: int | None = None
    validate_only: tuple[str, ...] = ()
    class_weights: str = "none"
    sampler: str = "shuffle"
    tumor_free: float | None = None
    lesion_weight: float = 1.0
    label_weight: float = 1.0
    dropout: float | None = None
    distill: tuple[str, ...] = ()
    distill_arch: tuple[str, ...] = ()
    distill_weight: float = 1.0
    distill_map: float = 1.0
    distill_features: float = 0.0
    distill_temperature: float = 2.0
    ema: float = 0.0
    warm_up: float = 0.2
    max_gradient_norm: float = 5.0
    patience: int | None = None
    specificity: float | None = None
    start_share: float = 0.0
    frozen_trunk: str = "auto"
    refit: bool = False
    compile: bool = False
    precision: str = "auto"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        require_settings(vars(self))
        if self.fold is not None and self.split is None:
            raise OptionError("--fold names a fold of a manifest; give it with --split")
        if self.start_share and self.init_weights == "none":
            raise OptionError(
                "start_share keeps a share of the starting weights, and init_weights is none; "
                "give weights to start from"
            )
        if self.validate_only and self.split is None:
            raise OptionError("--validate-only names a set of a manifest; give it with --split")

    @property
    def named(self) -> tuple[str, ...]:
        """The functions that a run may call to make networks."""
        return (self.arch, *self.distill_arch)

    def anchored(self) -> "TrainConfig":
        """Return it with absolute paths, so that a run goes on from any working folder."""
        start = self.init_weights
        return replace(
            self,
            data=tuple(_absolute(one) for one in self.data),
            distill=tuple(_absolute(one) for one in self.distill),
            index=self.index and _absolute(self.index),
            labels=self.labels
            and (self.labels if self.labels == FOLDERS else _absolute(self.labels)),
            split=self.split and _absolute(self.split),
            init_weights=start if start in STARTS else _absolute(start),
        )

    def divided_by(self, manifest: str) -> "TrainConfig":
        """Return it with the images of a manifest in place of its own."""
        return replace(
            self,
            data=(),
            maps=(),
            labels=None,
            pattern=None,
            index=None,
            fold=None,
            validate_only=(),
            split=manifest,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; names are spelled as `edge_mri.storage.spelling` does it."""
        values: dict[str, Any] = each_text(asdict(self), spelled)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """Read it back; unknown keys are refused.

        Raises:
            TypeError: It is no configuration.
            RunFolderError: It has keys that are not known.
        """
        if not isinstance(values, dict):
            raise TypeError(f"expected an object, got {type(values).__name__}")
        if unknown := set(values) - {one.name for one in fields(cls)}:
            raise RunFolderError(f"unknown settings {', '.join(sorted(unknown))}")
        values = each_text(values, meant)
        lists = {name: tuple(values[name]) for name in _LISTS if name in values}
        augment = AugmentConfig(**values.get("augment", {}))
        return cls(**values | lists | {"augment": augment})

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(self.to_dict(), path)

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Read a configuration back; unknown keys are refused."""
        text = read_text(
            path,
            lambda reason: RunFolderError(
                f"{path} cannot be read: {reason}; expected in a folder that `edge-mri train` wrote"
            ),
        )
        try:
            return cls.from_dict(json.loads(text))
        except RunFolderError as error:
            raise RunFolderError(f"{path}: {error}") from error
        except EdgeMriError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:  # ValueError: JSON
            raise RunFolderError(f"{path} is no configuration of a run: {error}") from error
