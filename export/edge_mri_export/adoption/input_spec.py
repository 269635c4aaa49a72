"""What an ONNX classifier made elsewhere takes: from a pixel's grey to its input values.

Covers the values and their layout. What turns an image file into a square of pixels is the
runtime's own preprocessing (`edge_mri.images.preprocess`), for these models as for all.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import OptionError

LAYOUTS = ("nchw", "nhwc")
_CHANNELS = (1, 3)
_MOST_BYTES = 2**14

_PRESETS: dict[str, dict[str, Any]] = {
    "unit": {},
    "imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "halves": {"mean": (0.5,), "std": (0.5,)},
    "raw": {"scale": 255.0},
    "caffe": {"scale": 255.0, "mean": (103.939, 116.779, 123.68)},
}
PRESETS = tuple(_PRESETS)
"""`unit`: 0 to 1; `imagenet`: torchvision's and most of timm's; `halves`: -1 to 1; `raw`: 0 to 255;
`caffe`: 0 to 255 less a mean, blue first."""


@dataclass(frozen=True)
class InputSpec:
    """How a pixel p, 0 black to 1 white, becomes an input value: `(p * scale - mean) / std`.

    Attributes:
        scale: What white is before mean and deviation: 1 or 255 as a rule.
        mean: One for all channels, or one a channel, in the model's order.
        std: The same of the deviation.
        size: Side S of the square input in pixels; None: what the model's graph says.
        layout: `nchw` or `nhwc`; None: where the graph has 1 or 3.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: int | None = None
    layout: str | None = None

    def __post_init__(self) -> None:
        values = (self.scale, *self.mean, *self.std)
        if not all(_is_number(one) and np.isfinite(one) for one in values):
            raise OptionError(f"--preprocess: scale, mean and std are {values}; expected numbers")
        for name, one in (("mean", self.mean), ("std", self.std)):
            if len(one) not in _CHANNELS:
                raise OptionError(f"--preprocess: {name} has {len(one)} values; expected 1 or 3")
        if min(self.std) <= 0 or self.scale <= 0:
            raise OptionError("--preprocess: scale and std are above 0")
        if self.size is not None and type(self.size) is not int:
            raise OptionError(f"--preprocess: size is {self.size!r}; expected a number of pixels")
        if self.layout not in (None, *LAYOUTS):
            raise OptionError(
                f"--preprocess: layout is {self.layout!r}; expected {' or '.join(LAYOUTS)}"
            )

    @classmethod
    def parse(cls, text: str) -> "InputSpec":
        """Read what `--preprocess` was given.

        Args:
            text: A preset, with more settings behind commas (`imagenet,size=224`), or a TOML file
                with the keys `preset`, `scale`, `mean`, `std`, `size` and `layout`.

        Raises:
            OptionError: It is neither, or a value cannot be.
        """
        if text.lower().endswith(".toml"):
            return cls._of(_toml(Path(text)), text)
        values: dict[str, Any] = {}
        for position, part in enumerate(one.strip() for one in text.split(",")):
            key, equals, value = part.partition("=")
            if not equals and position == 0:
                values["preset"] = key
            else:
                values[key.strip()] = _value(value.strip())
        return cls._of(values, text)

    @classmethod
    def _of(cls, values: Mapping[str, Any], source: str) -> "InputSpec":
        given = dict(values)
        preset = given.pop("preset", "unit")
        if preset not in _PRESETS:
            raise OptionError(
                f"--preprocess {source}: there is no {preset!r}; expected {', '.join(PRESETS)}, or "
                "a .toml file"
            )
        known = [one.name for one in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise OptionError(
                f"--preprocess {source}: unknown {', '.join(unknown)}; expected preset, "
                f"{', '.join(known)}"
            )
        for name in ("mean", "std"):
            one = given.get(name)
            if isinstance(one, list):
                given[name] = tuple(one)
            elif one is not None:
                given[name] = (one,)
        return cls(**_PRESETS[preset] | given)

    def gains(self, channels: int) -> NDArray[np.float64]:
        """Return `(channels,)` factors of a pixel, 0 to 1."""
        return np.broadcast_to(self.scale / np.array(self.std, np.float64), channels)

    def offsets(self, channels: int) -> NDArray[np.float64]:
        """Return `(channels,)` what is added to it then."""
        mean, deviation = (np.array(one, np.float64) for one in (self.mean, self.std))
        return np.broadcast_to(-mean / deviation, channels)

    def require_channels(self, channels: int) -> None:
        """Raise `OptionError` where mean and deviation are of another number of channels."""
        for name, one in (("mean", self.mean), ("std", self.std)):
            if len(one) not in (1, channels):
                raise OptionError(
                    f"--preprocess: {name} has {len(one)} values, and the model takes {channels} "
                    "channel; give one"
                )

    def values(self, pixels: NDArray[np.uint8], channels: int, layout: str) -> NDArray[np.float32]:
        """Turn `(N, 1, S, S)` uint8 pixels into the model's own float input."""
        grey = pixels.astype(np.float32) / np.float32(255)
        gains = self.gains(channels).astype(np.float32).reshape(1, -1, 1, 1)
        offsets = self.offsets(channels).astype(np.float32).reshape(1, -1, 1, 1)
        values = grey * gains + offsets
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if layout == "nhwc" else values)


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(_MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise OptionError(f"--preprocess {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOML's and UTF-8's
        raise OptionError(f"--preprocess {path} is no TOML: {error}") from error


def _value(text: str) -> Any:
    if re.fullmatch(r"[+-]?\d+", text) and len(text) < 9:
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _is_number(one: object) -> bool:
    return isinstance(one, int | float) and not isinstance(one, bool)
