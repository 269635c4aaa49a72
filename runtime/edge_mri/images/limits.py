"""How large a file and an image may be before they are refused unread."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from edge_mri.errors import ImageSizeError, OptionError

PIXELS_VARIABLE = "EDGE_MRI_MAX_PIXELS"
BYTES_VARIABLE = "EDGE_MRI_MAX_BYTES"


@dataclass(frozen=True)
class Limits:
    """What an input may cost.

    Attributes:
        max_pixels: Pixels of one image, or voxels of one volume: 1 byte of memory each, more
            while decoding.
        max_bytes: Bytes of one file.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        for name, value in (("max_pixels", self.max_pixels), ("max_bytes", self.max_bytes)):
            if not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} is {value!r}; expected a whole number of 1 or more")

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> "Limits":
        """Return the limits that EDGE_MRI_MAX_PIXELS and EDGE_MRI_MAX_BYTES set, or the defaults.

        Raises:
            OptionError: A variable holds something else than a whole number of 1 or more.
        """
        return cls(
            _whole_number(variables, PIXELS_VARIABLE, cls.max_pixels),
            _whole_number(variables, BYTES_VARIABLE, cls.max_bytes),
        )

    def set_for_process(self) -> None:
        """Make these the limits of this process, and of those it starts, where none are given."""
        os.environ[PIXELS_VARIABLE] = str(self.max_pixels)
        os.environ[BYTES_VARIABLE] = str(self.max_bytes)

    def check_pixels(self, width: int, height: int, depth: int = 1) -> None:
        """Refuse an image of `width` x `height` (x `depth`) that is too large."""
        if width * height * depth > self.max_pixels:
            sides = f"{width:,} x {height:,}" + (f" x {depth:,}" if depth > 1 else "")
            raise ImageSizeError(f"{sides} pixels", f"{self.max_pixels:,} pixels (--max-pixels)")

    def check_bytes(self, size: int) -> None:
        """Refuse a file of `size` bytes that is too large."""
        if size > self.max_bytes:
            raise ImageSizeError(f"{size:,} bytes", f"{self.max_bytes:,} bytes (--max-bytes)")


def _whole_number(variables: Mapping[str, str], name: str, default: int) -> int:
    value = variables.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise OptionError(f"{name} is {value!r}; expected a whole number of 1 or more")
    return int(value)
