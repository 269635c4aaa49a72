"""What a training run is told, as one frozen value for Python, command line and tests."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edge_mri.atomic import write_json
from edge_mri.errors import EdgeMriError, OptionError
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.errors import RunFolderError

CLASS_WEIGHTS = ("none", "balanced")
SAMPLERS = ("shuffle", "weighted")

_MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes.

    Attributes:
        data: Folders with class folders; may be empty where `split` is given.
        task: `type-plane` (12 classes) or `type` (4).
        arch: Name of the network.
        init_weights: `imagenet`, `shipped`, `none`, or a file.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW's, on weights but not on norms and biases.
        label_smoothing: Weight of a uniform target, 0 to 1.
        image_size: Side of the network input, in pixels.
        augment: How often training images are changed, and how.
        val_fraction: Share of the images held out for validation.
        maps: `FOLDER=LABEL` for further folder names.
        index: A CSV that names the images.
        split: A manifest, which then says what is trained on and validated with.
        fold: Which fold of the manifest validates, the others train.
        class_weights: `balanced` weighs each image's loss by one over its class's count; `none`.
        sampler: `weighted` draws classes equally often, with replacement; `shuffle`.
        tumor_free: Share of tumour-free images that an epoch draws; None: as they come.
        lesion_weight: Share of the outlines in the loss of a network with a lesion map.
        label_weight: Share of the labels in it.
        dropout: Probability of the network's dropout layers; None: the network's own.
        distill: Checkpoints of teachers.
        distill_weight: Share of the teachers' answers in the loss.
        ema: Decay a step of the averaged weights that are validated and kept; 0: none.
        warm_up: Share of the steps over which the learning rate rises.
        max_gradient_norm: Gradients are clipped to it.
        patience: Stop after so many epochs without a better score; None: never.
        refit: Whether the last layers of a network with a lesion map are fitted anew at the end.
        compile: Whether `torch.compile` makes the training step.
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
    index: str | None = None
    split: str | None = None
    fold: int | None = None
    class_weights: str = "none"
    sampler: str = "shuffle"
    tumor_free: float | None = None
    lesion_weight: float = 1.0
    label_weight: float = 1.0
    dropout: float | None = None
    distill: tuple[str, ...] = ()
    distill_weight: float = 1.0
    ema: float = 0.0
    warm_up: float = 0.2
    max_gradient_norm: float = 5.0
    patience: int | None = None
    refit: bool = False
    compile: bool = False
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or not 0 < self.learning_rate < math.inf:
            raise OptionError(
                "epochs, batch size and learning rate must be above 0, got "
                f"{self.epochs}, {self.batch_size} and {self.learning_rate}"
            )
        if not 0 < self.val_fraction < 1:
            raise OptionError(
                f"validation fraction {self.val_fraction}; expected above 0 and below 1"
            )
        if self.class_weights not in CLASS_WEIGHTS or self.sampler not in SAMPLERS:
            raise OptionError(
                f"class weights {self.class_weights!r}, sampler {self.sampler!r}; expected "
                f"{' or '.join(CLASS_WEIGHTS)}, and {' or '.join(SAMPLERS)}"
            )
        shares = {
            "ema": self.ema,
            "warm_up": self.warm_up,
            "tumor_free": 0.5 if self.tumor_free is None else self.tumor_free,
            "dropout": self.dropout or 0.0,
        }
        for name, share in shares.items():
            if not 0 <= share < 1:
                raise OptionError(f"{name} is {share}; expected 0 or more and below 1")
        if self.fold is not None and self.split is None:
            raise OptionError("--fold names a fold of a manifest; give it with --split")
        if not 0 <= self.seed <= _MAX_SEED:
            raise OptionError(f"seed {self.seed}; expected 0 to {_MAX_SEED}")

    def write(self, path: Path) -> None:
        """Write the configuration as JSON."""
        write_json(asdict(self), path)

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Read a configuration back; unknown keys are refused."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            known = {one.name for one in fields(cls)}
            if not isinstance(values, dict):
                raise TypeError(f"expected an object, got {type(values).__name__}")
            if unknown := set(values) - known:
                raise RunFolderError(f"{path}: unknown settings {', '.join(sorted(unknown))}")
            lists = {
                name: tuple(values[name]) for name in ("data", "maps", "distill") if name in values
            }
            augment = AugmentConfig(**values.get("augment", {}))
            return cls(**values | lists | {"augment": augment})
        except EdgeMriError:
            raise
        except OSError as error:
            raise RunFolderError(
                f"{path} cannot be read: {error.strerror}; expected in a folder that "
                "`edge-mri train` wrote"
            ) from error
        except (ValueError, KeyError, TypeError) as error:  # ValueError: JSON, UTF-8
            raise RunFolderError(f"{path} is no configuration of a run: {error}") from error
