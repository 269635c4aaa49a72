"""How many threads this process may keep busy, and that each keeps to its own core."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """Keep OpenCV from spreading one image over all cores; the workers are the parallel part."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


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
