"""Files that appear whole or not at all: write beside, then rename."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_mri.errors import EdgeMriError, OutputError
from edge_mri.storage.json_text import json_text

_MASK = threading.Lock()
_LONGEST_NAME_BYTES = 200  # file systems hold 255


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, else removed.

    Missing parent folders are made. A link is followed; a device or a pipe, such as `/dev/null`,
    is yielded itself. File-system errors become `OutputError`.
    """
    try:
        target, temporary = _beside(path)
    except OSError as error:
        raise OutputError.of(path, error) from error
    try:
        yield temporary
        if temporary != target:
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
    except EdgeMriError:
        raise
    except OSError as error:
        raise OutputError.of(path, error) from error
    finally:
        if temporary != target:
            with suppress(OSError):  # its folder may have gone
                temporary.unlink()


def require_writable(path: Path) -> None:
    """Raise `OutputError` before long work where `atomic_path` could not begin after it.

    Missing parent folders are made.
    """
    try:
        target, temporary = _beside(path)
        if temporary != target:
            temporary.unlink()
    except OSError as error:
        raise OutputError.of(path, error) from error


def write_json(values: Any, path: Path, indent: int = 2) -> None:
    """Write values as a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(values, indent=indent) + "\n", encoding="ascii")


def _beside(path: Path) -> tuple[Path, Path]:
    """Return where to rename to, and an empty file beside it; twice `path` if it is no file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        return path, path
    import tempfile  # it brings shutil and its compressors: a tenth of a start without it

    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        target.lstat()  # tells whether it can have this name
    prefix, suffix = f".{target.name}.", target.suffix
    if len(os.fsencode(prefix + suffix)) > _LONGEST_NAME_BYTES:  # the name itself may still do
        prefix, suffix = ".edge-mri.", ""
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=target.parent)
    os.close(handle)
    return target, Path(name)


def _umask() -> int:
    """Return the process's mask; where the system tells it, without changing it for a moment."""
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        status = b""
    _, found, rest = status.partition(b"\nUmask:")
    if found:
        return int(rest.split(maxsplit=1)[0], 8)
    with _MASK:
        mask = os.umask(0o077)  # what another thread makes meanwhile is rather too private
        os.umask(mask)
    return mask
