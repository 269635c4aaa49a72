"""How large a file and an image may be before they are refused unread, or left off half read."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from edge_mri.errors import ImageSizeError, OptionError

if TYPE_CHECKING:
    from edge_mri.images.pixels.frame import Frame


@dataclass(frozen=True)
class Limits:
    """What an input may cost.

    Attributes:
        max_pixels: Pixels of one image, or voxels of one volume: 1 byte of memory each, more
            while decoding.
        max_bytes: Bytes of one file.
        max_frames: Images of one file.
        max_decoded_bytes: Bytes of a file's images together, 1 a pixel.
        max_seconds: Processor time that decoding a file may take, in seconds.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 256 * 2**20
    max_frames: int = 100_000
    max_decoded_bytes: int = 4 * 2**30
    max_seconds: int = 300

    def __post_init__(self) -> None:
        for name in VARIABLES:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} is {value!r}; expected a whole number of 1 or more")

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> "Limits":
        """Return the limits that `VARIABLES` set, or the defaults.

        Raises:
            OptionError: A variable holds something else than a whole number of 1 or more.
        """
        return _limits(*map(variables.get, VARIABLES.values()))

    def set_for_process(self) -> None:
        """Make these the limits of this process, and of those it starts, where none are given."""
        for name, its in VARIABLES.items():
            os.environ[its] = str(getattr(self, name))

    def check_pixels(self, width: int, height: int, depth: int = 1) -> None:
        """Refuse an image of `width` x `height` (x `depth`) that is too large."""
        if width * height * depth > self.max_pixels:
            sides = f"{width:,} x {height:,}" + (f" x {depth:,}" if depth > 1 else "")
            raise ImageSizeError(f"{sides} pixels", f"{self.max_pixels:,} pixels (--max-pixels)")

    def check_bytes(self, size: int) -> None:
        """Refuse a file of `size` bytes that is too large."""
        if size > self.max_bytes:
            raise ImageSizeError(f"{size:,} bytes", f"{self.max_bytes:,} bytes (--max-bytes)")

    def refuse_more_frames(self) -> NoReturn:
        """Refuse what comes after the last image that a file may have."""
        raise _beyond(self.max_frames, "more than {:,} frames", "{:,} frames (--max-frames)")

    def within(self, frames: Iterator["Frame"]) -> Iterator["Frame"]:
        """Yield a file's frames, decoded as they are asked for, until they cost too much.

        The first is yielded whatever it cost: other limits hold it.

        Raises:
            ImageSizeError: There is another frame beyond what the limits allow.
        """
        first = next(frames, None)
        if first is None:
            return
        yield first
        if first.frame is None:  # the only one
            yield from frames
            return
        count, size, spent = 1, first.pixels.size, 0.0
        while True:
            begun = time.thread_time()
            frame = next(frames, None)
            if frame is None:
                return
            count += 1
            size += frame.pixels.size
            if spent > self.max_seconds:
                said, limit = "over {:,} s to decode", "{:,} s (--max-seconds)"
                raise _beyond(self.max_seconds, said, limit)
            if count > self.max_frames:
                self.refuse_more_frames()
            if size > self.max_decoded_bytes:
                said, limit = "over {:,} bytes of frames", "{:,} bytes (--max-decoded-bytes)"
                raise _beyond(self.max_decoded_bytes, said, limit)
            spent += time.thread_time() - begun
            yield frame


def _beyond(limit: int, said: str, named: str) -> ImageSizeError:
    return ImageSizeError(said.format(limit), named.format(limit))


VARIABLES = {one.name: f"EDGE_MRI_{one.name.upper()}" for one in fields(Limits)}
"""The environment variable that sets each limit, such as EDGE_MRI_MAX_BYTES."""


@lru_cache(maxsize=1)  # asked for with each single image
def _limits(*values: str | None) -> Limits:
    """Return the limits that the values of `VARIABLES` say."""
    given = zip(VARIABLES.items(), values, strict=True)
    return Limits(**{name: _whole_number(its, value) for (name, its), value in given if value})


def _whole_number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise OptionError(f"{name} is {value!r}; expected a whole number of 1 or more")
    return int(value)
