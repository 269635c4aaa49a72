"""The augmentation as a whole: which change comes when, and how often."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OptionError
from edge_mri_train.augmentation.extraction import Extraction
from edge_mri_train.augmentation.geometry import Pose, flip, frame
from edge_mri_train.augmentation.healing import heal
from edge_mri_train.augmentation.intensity import (
    bias_field,
    blur,
    curve,
    gain,
    gamma,
    jpeg,
    noise,
    resolution,
)
from edge_mri_train.augmentation.lesions import LesionBank
from edge_mri_train.augmentation.mixing import Mixer
from edge_mri_train.augmentation.view import View

Change = Callable[[View, np.random.Generator], View]


@dataclass(frozen=True)
class AugmentConfig:
    """How often each change is made, 0 (never) to 1 (always).

    Attributes:
        mixup: Blended with another training image, labels too.
        cutmix: A rectangle of another training image put in, labels mixed by area.
        heal: An outlined lesion covered with tissue, where some fits.
        paste: A lesion pasted into a tumour-free slice; needs outlines.
        decoy: Harmless tissue or spots pasted.
        extract: Skull and scalp blacked out.
        extract_free: The same of tumour-free slices; None: as often as of others.
        frame: The picture cut to the head.
        flip: Left and right swapped.
        rotate: Turned by up to 15 degrees.
        scale: Enlarged or shrunk by up to 1.22, stretched by up to 1.08.
        shift: Shifted by up to 6 % of its side.
        curve: A random intensity curve.
        gamma: Intensities bent by a power of 0.64 to 1.57.
        gain: Brighter or darker by up to a fifth.
        bias_field: A smooth field of brightness.
        blur: Blur.
        resolution: Lost resolution.
        noise: Rician noise.
        jpeg: Artefacts of a JPEG file.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    heal: float = 0.0
    paste: float = 0.0
    decoy: float = 0.0
    extract: float = 0.0
    extract_free: float | None = None
    frame: float = 0.0
    flip: float = 0.5
    rotate: float = 1.0
    scale: float = 1.0
    shift: float = 1.0
    curve: float = 0.0
    gamma: float = 1.0
    gain: float = 1.0
    bias_field: float = 0.0
    blur: float = 0.0
    resolution: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "extract_free" and value is None:
                continue
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise OptionError(f"augmentation {name} is {value!r}; expected 0 to 1")

    @classmethod
    def none(cls) -> "AugmentConfig":
        """Return the configuration that changes nothing."""
        return replace(cls(**dict.fromkeys(asdict(cls()), 0.0)), extract_free=None)


@dataclass(frozen=True)
class Donors:
    """What training images give to others.

    Attributes:
        bank: Lesions and harmless tissue.
        mixer: Whole images.
    """

    bank: LesionBank
    mixer: Mixer

    @classmethod
    def of(cls, images: NDArray[np.uint8], masks: Sequence[NDArray[np.uint8] | None]) -> "Donors":
        """Let `(N, S, S)` uint8 images give, with N masks as `LesionBank` takes them."""
        return cls(LesionBank(images, masks), Mixer(images, masks))


class Augmentation:
    """Changes images at random, each change as often as the configuration says.

    Args:
        config: How often.
        donors: What to paste and to mix with; None: neither is done, nor are decoys.
    """

    def __init__(self, config: AugmentConfig, donors: Donors | None = None) -> None:
        if donors is None or not donors.bank.can_paste:
            config = replace(config, paste=0.0, decoy=0.0)
        pose = Pose(config.rotate, config.scale, config.shift)
        free = config.extract if config.extract_free is None else config.extract_free
        extraction = Extraction(config.extract, free)
        changes: list[tuple[Change, float]] = [
            (extraction, extraction.often),
            (frame, config.frame),
            (flip, config.flip),
            (pose, pose.often),
            (curve, config.curve),
            (gamma, config.gamma),
            (gain, config.gain),
            (bias_field, config.bias_field),
            (blur, config.blur),
            (resolution, config.resolution),
            (noise, config.noise),
            (jpeg, config.jpeg),
        ]
        if donors is not None:
            changes = [
                (donors.mixer.mixup, config.mixup),
                (donors.mixer.cutmix, config.cutmix),
                (heal, config.heal),
                (donors.bank.paste, config.paste),
                (donors.bank.decoy, config.decoy),
                *changes,
            ]
        else:
            changes = [(heal, config.heal), *changes]
        self._changes = [(change, often) for change, often in changes if often]

    def __call__(self, view: View, rng: np.random.Generator) -> View:
        """Return a changed copy; the same state of the generator gives the same changes."""
        for change, often in self._changes:
            if rng.random() < often:
                view = change(view, rng)
        return view
