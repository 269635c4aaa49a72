"""A file of tensors and plain values as `torch.save` writes it: written whole, read with distrust.

Reading runs no code from the file, looks at its checksums, and costs no more memory than a small
multiple of its size. What the values must be is `edge_mri_train.networks.checkpoint` and
`edge_mri_train.networks.initial_weights`.
"""

import pickle
import pickletools
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from edge_mri.errors import EdgeMriError
from edge_mri.storage.atomic import atomic_path
from edge_mri_train.errors import first_line
from edge_mri_train.networks.digest import UnfitValuesError, digest, require_plain

DIGEST = "sha256"
"""The key under which a file keeps the hash over all its other values."""

_MOST_BYTES = 8 * 2**30
_REFUSED = (  # what makes room of any size for a number, and kinds of tensor that no network has
    "bytearray",
    "Tensor",
    "TypedStorage",
    "UntypedStorage",
    "_sparse_tensor",
)

_MORE = "it holds more than tensors and plain values"
_DAMAGED = "it is damaged, or something else"


class _RefusedError(Exception):
    """Why a file is not read; told as the caller's error."""


def write_tensors(values: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values with their hash, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(values | {DIGEST: digest(values)}, file)
        except RuntimeError as error:  # torch hides what the system said, such as a full disk
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def read_tensors(
    path: Path, error: Callable[[str], EdgeMriError], *, zip_alone: bool = True
) -> Any:
    """Read what `torch.save` wrote, running no code from the file.

    A hash that it carries is verified and left out; without one, as in files from elsewhere, the
    checksums of the zip alone tell of damage.

    Args:
        path: The file.
        error: Makes what is raised of a reason: the file is damaged, something else, too large, or
            holds more than tensors and plain values.
        zip_alone: Refuse files in the formats of torch before 1.6, which have no checksums.

    Raises:
        OSError: The file cannot be opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _RefusedError("it is not a regular file")
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > _MOST_BYTES:
                raise _RefusedError(
                    f"it has {size:,} bytes, {_MOST_BYTES:,} are the most that is read"
                )
            return _read(file, size, zip_alone=zip_alone)
    except (_RefusedError, UnfitValuesError) as reason:
        raise error(str(reason)) from reason
    except pickle.UnpicklingError as reason:
        raise error(_MORE) from reason
    except OSError:
        raise
    except Exception as reason:  # those of torch.load and zipfile share no base class
        raise error(first_line(reason)) from reason


def _read(file: BinaryIO, size: int, *, zip_alone: bool) -> Any:
    if zipfile.is_zipfile(file):
        _check_archive(file, size)
    elif zip_alone:
        raise _RefusedError(_DAMAGED)
    file.seek(0)
    values = torch.load(file, map_location="cpu", weights_only=True)
    require_plain(values, size)
    if isinstance(values, dict) and DIGEST in values:
        expected = values.pop(DIGEST)
        if digest(values) != expected:
            raise _RefusedError(
                "it was damaged or edited after it was written: its values do not have the hash "
                "that it carries; copy the file anew"
            )
    return values


def _check_archive(file: BinaryIO, size: int) -> None:
    """Refuse a zip whose parts are damaged, unpack to more than it, or make room for more."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if (
            any(one.compress_type != zipfile.ZIP_STORED for one in parts)
            or sum(one.file_size for one in parts) > size
        ):
            raise _RefusedError("it unpacks to more than it holds; torch writes no such file")
        try:
            damaged = archive.testzip()
        except Exception as error:  # a header that does not fit raises this and that
            raise _RefusedError(
                f"it is damaged ({first_line(error)}); copy the file anew"
            ) from error
        if damaged is not None:
            raise _RefusedError(
                f"it is damaged: the checksum of {damaged} is wrong; copy the file anew"
            )
        for one in parts:
            if one.filename.endswith("data.pkl"):
                _check_pickle(archive.read(one))


def _check_pickle(code: bytes) -> None:
    for operation, argument, _ in pickletools.genops(code):
        if operation.name == "GLOBAL" and str(argument).endswith(_REFUSED):
            raise _RefusedError(_MORE)
