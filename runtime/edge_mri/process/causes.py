"""Why a command failed where edge-mri is not at fault: a package that it needs, or the system.

Asked only when something has failed, so that a good run pays for nothing here. An extra that is
not installed at all is `edge_mri.cli`'s to name.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from types import TracebackType
from typing import Literal

from edge_mri.errors import EdgeMriError, ImageSupportError, PackageError, SystemRefusalError

_OURS = ("edge_mri", "edge_mri_train", "edge_mri_export", "edge_mri_bench")
_OPENCV = "opencv-python-headless"
_OTHER_OPENCVS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
_DISTRIBUTIONS = {
    "cv2": _OPENCV,
    "faiss": "faiss-cpu",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
}
_READERS = {"dicom": "pydicom", "nifti": "nibabel"}
_LONGEST_REASON = 200  # characters
# What a system that is out of something says, also where a library passes it on as text.
_LIMITS = {
    errno.EMFILE: "this process may open no more files; allow it more (ulimit -n)",
    errno.ENFILE: "the system can open no more files",
    errno.ENOMEM: "there is not enough memory; fewer --threads and a smaller --batch-size need "
    "less, where a command has them",
    errno.EAGAIN: "it may start no more threads or processes; allow it more (ulimit -u, the "
    "container's pids limit), or use fewer --threads",
    errno.ENOSPC: "free some space",
}
# What others say in their own words: Python, and torch of the processor's and of a card's memory.
_SAID = {
    "can't start new thread": errno.EAGAIN,
    "can't allocate memory": errno.ENOMEM,
    "not enough memory": errno.ENOMEM,
    "out of memory": errno.ENOMEM,
}


def cause_of(error: BaseException) -> EdgeMriError | None:
    """Return what is to be said of an exception that is none of ours, or None: our own fault.

    A package that is older than edge-mri needs is told whatever failed; one that is damaged where
    it failed while it was imported, or has nothing in it.
    """
    return _limit(error) or _too_old() or _broken(error) or _refusal(error)


def unreadable(extra: Literal["dicom", "nifti"], error: Exception) -> ImageSupportError:
    """Return why the reader of an optional format could not be imported."""
    module = _READERS[extra]
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    if missing and missing.partition(".")[0] != module:
        return ImageSupportError(extra, missing)
    if missing == module or not is_found(module):
        return ImageSupportError(extra, module)
    return ImageSupportError(extra, _needed(module), _found(module, error))


def _limit(error: BaseException) -> SystemRefusalError | None:
    text = str(error)
    told = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    if told is None:
        told = next((number for said, number in _SAID.items() if said in text), None)
    for number, next_step in _LIMITS.items():
        if told == number or os.strerror(number) in text:
            return SystemRefusalError(os.strerror(number), next_step)
    return None


def _refusal(error: BaseException) -> SystemRefusalError | None:
    if not isinstance(error, OSError):
        return None
    name = error.filename
    place = "" if name is None else os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return SystemRefusalError(error.strerror or str(error) or type(error).__name__, place)


def _too_old() -> PackageError | None:
    """Name a package in use that is older than what edge-mri asks for."""
    for distribution, least in _requirements().items():
        module = _module(distribution)
        version = _version(module) if module in sys.modules else None
        if version and least and _numbers(version) < _numbers(least):
            needed = f"{distribution}>={least}"
            return PackageError(
                distribution, f"it is {version}, expected {needed}", f"pip install '{needed}'"
            )
    return None


def _broken(error: BaseException) -> PackageError | None:
    module = _culprit(error)
    if module is None:
        return None
    distribution = _DISTRIBUTIONS.get(module, module)
    if not is_found(module) and not _version(module):
        return PackageError(distribution, "it is not installed", f"pip install '{_needed(module)}'")
    next_step = f"pip install --force-reinstall '{_needed(module)}'"
    if module == "cv2":
        others = [name for name in _OTHER_OPENCVS if _installed(name)]
        if others:
            next_step = f"pip uninstall -y {' '.join(others)} && {next_step}"
    return PackageError(distribution, _found(module, error), next_step)


def _culprit(error: BaseException) -> str | None:
    """Return the top-level module that failed as such."""
    named = (getattr(error, "name", None) or "") if isinstance(error, ImportError) else ""
    top = named.partition(".")[0]
    if _DISTRIBUTIONS.get(top, top) in _requirements():
        return top
    importing = _imported_last(error.__traceback__)
    if importing is not None:
        return importing
    if isinstance(error, AttributeError):
        found = re.search(r"module '(\w+)[\w.]*' has no attribute", str(error))
        module = sys.modules.get(found[1]) if found else None
        if found and module is not None and getattr(module, "__file__", None) is None:
            return found[1]  # a folder that lost its files: Python takes it for a namespace
    return None


def _imported_last(trace: TracebackType | None) -> str | None:
    """Return the package of others that was being imported, the innermost."""
    packages = list(_packages(trace))
    last_of_ours = max((at for at, (top, _) in enumerate(packages) if top in _OURS), default=-1)
    theirs = (top for top, where in packages[:last_of_ours:-1] if where == "<module>")
    return next(theirs, None)


def _packages(trace: TracebackType | None) -> Iterator[tuple[str, str]]:
    """Yield the top-level module and the function of each frame, the outermost first."""
    while trace is not None:
        frame = trace.tb_frame
        yield str(frame.f_globals.get("__name__", "")).partition(".")[0], frame.f_code.co_name
        trace = trace.tb_next


def _found(module: str, error: BaseException) -> str:
    version = _version(module)
    told = f"version {version}" if version else "what is installed as it"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    originally = [line for line in lines if line.startswith("Original error was: ")]
    reason = (originally or lines or ["no reason given"])[0].removeprefix("Original error was: ")
    reason = reason.replace(f" ({getattr(error, 'path', None)})", "")  # no place of this machine
    return f"{told} cannot be used ({type(error).__name__}: {reason[:_LONGEST_REASON]})"


@cache
def _requirements() -> dict[str, str]:
    """Return what edge-mri asks for, extras included: the least version by distribution."""
    try:
        listed = metadata.requires("edge-mri") or []
    except metadata.PackageNotFoundError:  # run from its source
        listed = ["click", "numpy", "onnxruntime", _OPENCV, "pydicom", "nibabel"]
    found = (re.match(r"([\w.-]+)(?:\[[^]]*\])?(?:>=([\d.]+))?", line) for line in listed)
    return {one[1]: one[2] or "" for one in found if one and one[1] != "edge-mri"}


def _needed(module: str) -> str:
    distribution = _DISTRIBUTIONS.get(module, module)
    least = _requirements().get(distribution)
    return f"{distribution}>={least}" if least else distribution


def _module(distribution: str) -> str:
    known = {name: module for module, name in _DISTRIBUTIONS.items()}
    return known.get(distribution, distribution.replace("-", "_"))


def _version(module: str) -> str | None:
    """Return the version that was imported, else the one that is installed."""
    told = getattr(sys.modules.get(module), "__dict__", {}).get("__version__")
    names = [_DISTRIBUTIONS.get(module, module), *(_OTHER_OPENCVS if module == "cv2" else ())]
    return told if isinstance(told, str) else next(filter(None, map(_installed, names)), None)


@cache
def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def is_found(module: str) -> bool:
    """Say whether Python finds a top-level module."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # ValueError: it is imported, and has no spec
        return sys.modules.get(module) is not None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
