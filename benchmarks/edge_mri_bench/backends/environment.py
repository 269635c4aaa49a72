"""How much disk an installation takes: the files of some distributions and of all they require."""

import importlib.metadata as metadata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

RUNTIME = ("numpy", "onnxruntime", "opencv-python-headless", "click")


def installed_bytes(names: Iterable[str]) -> int | None:
    """Return the bytes on disk of distributions and what they require; None if one is missing."""
    roots: list[str] = [canonicalize_name(name) for name in names]
    if any(_size(name) is None for name in roots):
        return None
    return sum((_size(name) or 0) for name in _closure(roots))


def _closure(roots: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found and _size(name) is not None:
            found.add(name)
            waiting += _requires(name)
    return found


def _requires(name: str) -> list[str]:
    """Return what a distribution requires on this machine, without its extras."""
    required: list[str] = []
    for line in metadata.requires(name) or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            required.append(canonicalize_name(requirement.name))
    return required


@cache
def _size(name: str) -> int | None:
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return None
    total = 0
    for file in files:
        try:
            total += Path(str(file.locate())).stat().st_size
        except OSError:  # a listed file that is gone
            continue
    return total
