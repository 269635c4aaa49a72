"""What a training run is told, as one frozen value for Python, command line and tests."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from edge_mri.atomic import atomic_path
from edge_mri.errors import EdgeMriError, OptionError
from edge_mri_train.errors import RunError

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
        init_weights: `imagenet`, `none`, or a file.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW's, on weights but not on norms and biases.
        label_smoothing: Weight of a uniform target, 0 to 1.
        image_size: Side of the network input, in pixels.
        augment: Whether training images are changed at random.
        val_fraction: Share of the images held out for validation.
        maps: `FOLDER=LABEL` for further folder names.
        index: A CSV that names the images.
        split: A manifest, which then says what is trained on and validated with.
        fold: Which fold of the manifest validates, the others train.
        class_weights: `balanced` weighs each image's loss by one over its class's count; `none`.
        sampler: `weighted` draws classes equally often, with replacement; `shuffle`.
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
    augment: bool = True
    val_fraction: float = 1 / 3
    maps: tuple[str, ...] = ()
    index: str | None = None
    split: str | None = None
    fold: int | None = None
    class_weights: str = "none"
    sampler: str = "shuffle"
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
        if self.fold is not None and self.split is None:
            raise OptionError("--fold names a fold of a manifest; give it with --split")
        if not 0 <= self.seed <= _MAX_SEED:
            raise OptionError(f"seed {self.seed}; expected 0 to {_MAX_SEED}")

    def write(self, path: Path) -> None:
        """Write the configuration as JSON."""
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Read a configuration back; unknown keys are refused."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            known = {field.name for field in fields(cls)}
            if unknown := set(values) - known:
                raise RunError(f"{path}: unknown settings {', '.join(sorted(unknown))}")
            lists = {name: tuple(values[name]) for name in ("data", "maps") if name in values}
            return cls(**values | lists)
        except EdgeMriError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:  # ValueError: JSON, UTF-8
            raise RunError(f"{path} is no configuration of a run: {error}") from error
