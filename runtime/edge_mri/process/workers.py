"""How many threads this process may keep busy, and that each keeps to its own core."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def available_threads(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Return how many cores this process may use: affinity mask and control-group quotas.

    Args:
        cgroups: Where the control groups are mounted, version 2 or 1.
        own: The file that says which groups this process is in.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = affinity or 1
    return max(1, min([cores, *_quotas(cgroups, own)]))


@contextmanager
def one_core_each() -> Iterator[None]:
    """Keep OpenCV from spreading one image over all cores; the workers are the parallel part.

    Of several at a time, in whatever threads, the last to end gives OpenCV its threads back.
    """
    _OPENCV.hold()
    try:
        yield
    finally:
        _OPENCV.let_go()


class _OpenCvThreads:
    """OpenCV's threads, which are the whole process's, and how many hold it to one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held = self._before = 0

    def hold(self) -> None:
        import cv2

        with self._lock:
            if not self._held:
                self._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._held += 1

    def let_go(self) -> None:
        import cv2

        with self._lock:
            self._held -= 1
            if not self._held:
                cv2.setNumThreads(self._before)

    def forked(self) -> None:
        """Begin anew in a child: whoever held the lock, or OpenCV, may not be there."""
        self._lock = Lock()


_OPENCV = _OpenCvThreads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPENCV.forked)


def _quotas(cgroups: Path, own: Path) -> Iterator[int]:
    """Yield the whole cores that each group above this process grants."""
    for folder in _groups(cgroups, own):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) // int(period)
    version_1 = cgroups / "cpu"
    try:
        quota_us = int((version_1 / "cpu.cfs_quota_us").read_text())
        period_us = int((version_1 / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return
    if quota_us > 0 and period_us > 0:
        yield quota_us // period_us


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """Yield the version 2 groups this process is in, from its own to the root."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    name = next((line[3:] for line in lines if line.startswith("0::")), "/")
    inner = Path(name.lstrip("/"))
    if ".." not in inner.parts:  # a group outside of what this container sees
        for part in (inner, *inner.parents):
            if part != Path():
                yield cgroups / part
    yield cgroups
