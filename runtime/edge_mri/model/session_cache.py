"""Models as onnxruntime leaves them after optimising, kept so that the next start need not.

One file a model, onnxruntime version and CPU, in the user's cache folder
(`$XDG_CACHE_HOME/edge-mri/sessions`, or `~/.cache/...`). Only this user may read or write it, and
nobody else any folder above it (`edge_mri.storage.trusted_folder`); each file begins with a hash
over what it is for and what it holds, and what was hashed is what is loaded. Whatever is wrong with
a file or the folder, the model is simply optimised again. `EDGE_MRI_CACHE=off` keeps nothing.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from edge_mri.storage.trusted_folder import is_own, open_trusted

FORMAT = 3
MAX_FILES = 8
MAX_BYTES = 2**31
"""What a file may have; more than a model has in one file."""

_SUFFIX = ".session"
_SCRATCH_SUFFIXES = (".onnx", ".tmp")
_DIGEST_BYTES = 32
_CPU_LINES = (b"model name", b"flags", b"Features", b"CPU implementer", b"CPU part", b"isa")
_OPENED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class Scratch(NamedTuple):
    """A new file that onnxruntime may write the optimised model to.

    Attributes:
        folder: Descriptor of the folder.
        file: Descriptor of the file, locked for as long as this process lives.
        path: Where onnxruntime finds it.
    """

    folder: int
    file: int
    path: Path


class SessionCache:
    """The optimised form of one model on this machine.

    Attributes:
        path: Where it is kept; None where nothing may be kept.
        limit_bytes: What it may have; a larger file is not this model's.
    """

    def __init__(
        self, model_sha256: str, onnxruntime_version: str, limit_bytes: int = MAX_BYTES
    ) -> None:
        identity = f"{FORMAT} {model_sha256} {onnxruntime_version}".encode() + _cpu()
        self._key = hashlib.sha256(identity).digest()
        folder = _folder()
        self.path = folder / f"{self._key.hex()[:32]}{_SUFFIX}" if folder else None
        self.limit_bytes = limit_bytes

    def load(self) -> bytes | None:
        """Return the optimised model; None where there is none that can be trusted."""
        folder = None if self.path is None else open_trusted(self.path.parent)
        if self.path is None or folder is None:
            return None
        try:
            handle = os.open(self.path.name, os.O_RDONLY | _OPENED, dir_fd=folder)
        except OSError:
            return None
        finally:
            os.close(folder)
        try:
            status = os.fstat(handle)
            if not is_own(status, stat.S_IFREG) or status.st_size > self.limit_bytes:
                return None
            with os.fdopen(handle, "rb", closefd=False) as file:
                digest, optimised = file.read(_DIGEST_BYTES), file.read(status.st_size)
        except (OSError, MemoryError):
            return None
        finally:
            os.close(handle)
        return optimised if optimised and digest == self._digest(optimised) else None

    @contextmanager
    def scratch(self) -> Iterator[Scratch | None]:
        """Give a file for the optimised model, gone afterwards; None where nothing is kept."""
        folder = None if self.path is None else open_trusted(self.path.parent, create=True)
        if self.path is None or folder is None:
            yield None
            return
        name = f"{self.path.stem}.{os.getpid()}-{os.urandom(4).hex()}"
        handle = None
        try:
            _remove_abandoned(folder)
            handle = _locked(f"{name}.onnx", folder)
            if handle is None:
                yield None
                return
            yield Scratch(folder, handle, _by_descriptor(folder, self.path.parent) / f"{name}.onnx")
        finally:
            with suppress(OSError):
                os.unlink(f"{name}.onnx", dir_fd=folder)
            if handle is not None:
                os.close(handle)
            os.close(folder)

    def store(self, scratch: Scratch) -> None:
        """Keep what onnxruntime wrote to `scratch`."""
        if self.path is None:
            return
        sealed = f"{scratch.path.stem}.tmp"
        handle = None
        try:
            with os.fdopen(scratch.file, "rb", closefd=False) as file:
                optimised = file.read()
            handle = _locked(sealed, scratch.folder)
            if handle is None or not optimised:
                return
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.write(self._digest(optimised))
                file.write(optimised)
            os.replace(sealed, self.path.name, src_dir_fd=scratch.folder, dst_dir_fd=scratch.folder)
            _prune(scratch.folder)
        except OSError:  # a full disk, say: the next start is slower, no more
            pass
        finally:
            if handle is not None:
                with suppress(OSError):
                    os.unlink(sealed, dir_fd=scratch.folder)
                os.close(handle)

    def _digest(self, optimised: bytes) -> bytes:
        digest = hashlib.sha256(self._key)
        digest.update(optimised)
        return digest.digest()


def _folder() -> Path | None:
    if os.environ.get("EDGE_MRI_CACHE") == "off" or not hasattr(os, "geteuid"):
        return None  # elsewhere, who may write to a file is told in other ways
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # no home folder
        return None
    return home / "edge-mri" / "sessions"


def _by_descriptor(folder: int, path: Path) -> Path:
    """Return a path of the folder that still means it when something on the way is renamed."""
    held = Path(f"/proc/self/fd/{folder}")
    return held if held.is_dir() else path


def _locked(name: str, folder: int) -> int | None:
    """Make a file and lock it, so that nobody takes it for one of a start that was killed."""
    import fcntl  # POSIX alone, as all that is kept

    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPENED
    try:
        handle = os.open(name, flags, 0o600, dir_fd=folder)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_abandoned(folder: int) -> None:
    """Remove what starts that were killed have left: scratch files that nobody holds a lock on."""
    import fcntl

    for name in os.listdir(folder):
        if not name.endswith(_SCRATCH_SUFFIXES):
            continue
        with suppress(OSError):
            handle = os.open(name, os.O_RDWR | _OPENED, dir_fd=folder)
            try:
                if is_own(os.fstat(handle), stat.S_IFREG):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=folder)
            finally:
                os.close(handle)


def _prune(folder: int) -> None:
    """Leave the newest files."""
    ages: list[tuple[int, str]] = []
    for name in os.listdir(folder):
        with suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if name.endswith(_SUFFIX) and stat.S_ISREG(status.st_mode):
                ages.append((status.st_mtime_ns, name))
    for _, name in sorted(ages)[:-MAX_FILES]:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)


def _cpu() -> bytes:
    """Return what tells this kind of CPU from another, as far as the system says it cheaply."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            head = file.read(8192)
    except OSError:
        import platform

        return f"{platform.machine()} {platform.processor()}".encode()
    lines = dict.fromkeys(line for line in head.split(b"\n") if line.startswith(_CPU_LINES))
    return os.uname().machine.encode() + b"\n".join(list(lines)[: len(_CPU_LINES)])
