"""Image files: finding them below a folder, and decoding one to grey pixels.

Decoding trusts no file: what is empty, truncated, too large or no image raises an `ImageError`
with the reason. What the network sees of the pixels is `edge_mri.preprocess`.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import (
    FolderNotFoundError,
    ImageDecodeError,
    ImageError,
    ImageReadError,
    ImageSizeError,
)

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000  # OpenCV's own guard is set in `edge_mri`, before it is imported

_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"


class ImageFiles:
    """The image files among some paths, in a fixed order: as given, folders sorted by name.

    A file that is named itself counts whatever its suffix; below a folder, at any depth, those
    with a suffix of `SUFFIXES` count and the others are skipped, as are hidden ones. Links to
    folders are followed, except back to a folder they lie in. A folder that cannot be listed
    comes itself: reading it tells why.

    Iterating walks the file system; `skipped` then holds how many files were passed over.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                path.stat()
            except OSError as error:
                raise FolderNotFoundError(path) from error
        self._paths = tuple(paths)
        self.skipped = 0

    def __iter__(self) -> Iterator[Path]:
        self.skipped = 0
        for path in self._paths:
            if path.is_dir():
                yield from self._walk(path, frozenset())
            else:
                yield path

    def _walk(self, folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                return
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield folder
            return
        for entry in found:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from self._walk(folder / entry.name, above | {identity})
            elif entry.name.lower().endswith(SUFFIXES):
                yield folder / entry.name
            else:
                self.skipped += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle, a folder that may not be searched
        return False


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as `(H, W)` uint8 grey; raises `ImageError` with the reason."""
    return decode_image(read_file(path))


def read_file(path: Path) -> bytes:
    """Read an image file's bytes; raises `ImageReadError`, or `ImageSizeError` for a huge file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ImageReadError("it is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageSizeError(f"{status.st_size:,} bytes", f"{MAX_FILE_BYTES:,} bytes")
        return path.read_bytes()
    except ImageError:
        raise
    except OSError as error:
        raise ImageReadError(error.strerror or type(error).__name__) from error


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file's bytes to `(H, W)` uint8 grey, upright by its EXIF orientation.

    16-bit images are scaled to 8 bits by their full range; alpha is dropped.

    Raises:
        ImageDecodeError: The bytes are empty, truncated or no image.
        ImageSizeError: The image has more than `MAX_PIXELS` pixels.
    """
    return np.asarray(_decode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def decode_stored(data: bytes) -> NDArray[Any]:
    """Decode an image file's bytes to the pixels as they are stored.

    Returns:
        `(H, W)` or `(H, W, C)`, colour as BGR or BGRA, of the file's own depth; its EXIF
        orientation is not applied.

    Raises:
        ImageDecodeError: The bytes are empty, truncated or no image.
        ImageSizeError: The image has more than `MAX_PIXELS` pixels.
    """
    return _decode(data, cv2.IMREAD_UNCHANGED)


def _decode(data: bytes, flags: int) -> NDArray[Any]:
    if not data:
        raise ImageDecodeError("the file is empty")
    if data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise ImageDecodeError("the JPEG is truncated: it has no end marker")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise ImageSizeError("more pixels than allowed", f"{MAX_PIXELS:,} pixels") from error
        raise ImageDecodeError(f"OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ImageDecodeError("not an image in a known format, or damaged")
    pixels = image.shape[0] * image.shape[1]
    if pixels > MAX_PIXELS:  # where OpenCV was imported first, without its guard
        raise ImageSizeError(f"{pixels:,} pixels", f"{MAX_PIXELS:,} pixels")
    return np.asarray(image)


def grey_array(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an array from a caller as `(H, W)` uint8 grey.

    Args:
        array: `(H, W)` grey or `(H, W, 3)` RGB, uint8, 0 black.

    Raises:
        ImageDecodeError: Another shape or dtype, or no pixels.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.size == 0:
        came = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array)
        raise ImageDecodeError(f"expected a uint8 array with pixels, got {came}")
    if array.ndim == 2:
        return array
    if array.ndim == 3 and array.shape[2] == 3:
        return np.asarray(cv2.cvtColor(array, cv2.COLOR_RGB2GRAY), np.uint8)
    raise ImageDecodeError(f"expected shape (H, W) or (H, W, 3), got {array.shape}")
