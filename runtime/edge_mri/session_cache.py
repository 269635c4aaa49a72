"""Models as onnxruntime leaves them after optimising, kept so that the next start need not.

One file a model, onnxruntime version and CPU, in the user's cache folder
(`$XDG_CACHE_HOME/edge-mri/sessions`, or `~/.cache/...`). Only this user may read or write it; each
file begins with a hash over what it is for and what it holds. Whatever is wrong with a file or the
folder, the model is simply optimised again. `EDGE_MRI_CACHE=off` keeps nothing.
"""

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

FORMAT = 3
MAX_FILES = 8

_SUFFIX = ".session"
_DIGEST_BYTES = 32
_CPU_LINES = (b"model name", b"flags", b"Features", b"CPU implementer", b"CPU part", b"isa")


class SessionCache:
    """The optimised form of one model on this machine.

    Attributes:
        path: Where it is kept; None where nothing may be kept.
    """

    def __init__(self, model_sha256: str, onnxruntime_version: str) -> None:
        identity = f"{FORMAT} {model_sha256} {onnxruntime_version}".encode() + _cpu()
        self._key = hashlib.sha256(identity).digest()
        folder = _folder()
        self.path = folder / f"{self._key.hex()[:32]}{_SUFFIX}" if folder else None

    def load(self) -> bytes | None:
        """Return the optimised model; None where there is none that can be trusted."""
        if self.path is None or not _private(self.path.parent, stat.S_ISDIR):
            return None
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            if not _ours(os.fstat(handle), stat.S_ISREG):
                return None
            try:
                digest, optimised = file.read(_DIGEST_BYTES), file.read()
            except OSError:
                return None
        return optimised if optimised and digest == self._digest(optimised) else None

    def scratch(self) -> Path | None:
        """Return where onnxruntime may write the optimised model; None where nothing is kept."""
        if self.path is None:
            return None
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return None
        if not _private(self.path.parent, stat.S_ISDIR):
            return None
        return self.path.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}.onnx")

    def store(self, scratch: Path) -> None:
        """Keep what onnxruntime wrote to `scratch`, which is gone afterwards."""
        sealed = scratch.with_suffix(".tmp")
        try:
            optimised = scratch.read_bytes()
            handle = os.open(sealed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(self._digest(optimised))
                file.write(optimised)
            if self.path is not None:
                sealed.replace(self.path)
                _prune(self.path.parent)
        except OSError:  # a full disk, say: the next start is slower, no more
            pass
        finally:
            for path in (scratch, sealed):
                with suppress(OSError):
                    path.unlink()

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


def _private(path: Path, kind: object) -> bool:
    try:
        return _ours(path.lstat(), kind)
    except OSError:
        return False


def _ours(status: os.stat_result, kind: object) -> bool:
    right = callable(kind) and kind(status.st_mode)
    return bool(right and status.st_uid == os.geteuid() and not status.st_mode & 0o077)


def _prune(folder: Path) -> None:
    """Leave the newest files."""
    files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
    for file in files[:-MAX_FILES]:
        file.unlink(missing_ok=True)


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
