"""Received images until they are judged: a folder a series, a file an image.

An image is here for good, and its sender told so, when its bytes and its name are on the disk.
Files and folders are named by hashes of UIDs.
"""

import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_mri.errors import OutputError
from edge_mri.node.instance import Instance
from edge_mri.node.journal import Journal
from edge_mri.node.result_lines import sync_folder

KEPT_FREE_BYTES = 256 * 2**20
"""Of the disk: below that no image is taken."""
_ABANDONED_S = 600  # what nobody has written to for so long, its sender has left


class Kept(Enum):
    """What became of an image: it is kept, it was here before, or there is no room for it."""

    NEW = "new"
    KNOWN = "known"
    NO_ROOM = "no room"


@dataclass
class _Series:
    sizes: dict[str, int]
    last: float
    holders: set[threading.Thread]


class Spool:
    """The folder; several threads may ask it.

    Args:
        folder: It; made where missing, for this user alone.
        journal: What is judged, and what waits to be sent.
        max_bytes: How much images and what is to be sent may take together.

    Attributes:
        incoming: Where images are while they are received.
        outgoing: Where what is to be sent lies.
        wake: Set when there may be something to judge.
    """

    def __init__(self, folder: Path, journal: Journal, max_bytes: int) -> None:
        self.incoming, self.outgoing = folder / "incoming", folder / "outgoing"
        self._images = folder / "images"
        self._folder, self._journal, self._max_bytes = folder, journal, max_bytes
        self._lock = threading.Lock()
        self._series: dict[str, _Series] = {}
        self._keys: set[str] = set()
        self._bytes = 0
        self.wake = threading.Event()
        try:
            for one in (folder, self.incoming, self.outgoing, self._images):
                one.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(one.parent)
            self._tidy()
        except OSError as error:
            raise OutputError.of(folder, error) from error

    def _tidy(self) -> None:
        """Find what is to be judged and sent; throw away what a kill left half done."""
        for path in self.incoming.iterdir():
            path.unlink()
        files = self._journal.outgoing_files()
        for path in self.outgoing.iterdir():
            if path.name not in files:
                path.unlink()
        self._bytes = sum(files.values())
        for folder in [one for one in self._images.iterdir() if one.is_dir()]:
            for path in folder.glob("*.dcm"):
                if self._journal.is_judged(path.stem):
                    path.unlink()
                else:
                    self._add(folder.name, path.stem, path.stat().st_size)
            if folder.name not in self._series:
                with suppress(OSError):
                    folder.rmdir()

    def _add(self, series: str, key: str, size: int) -> _Series:
        entry = self._series.setdefault(series, _Series({}, 0.0, set()))
        entry.sizes[key] = size
        entry.last = time.monotonic()
        self._keys.add(key)
        self._bytes += size
        return entry

    def keep(self, received: Path, instance: Instance, holder: threading.Thread) -> Kept:
        """Take an image from `incoming`, durably.

        Args:
            received: Its file.
            instance: What it is.
            holder: Lives as long as the association that brings more of the series.

        Raises:
            OSError: The disk does not take it.
        """
        with received.open("rb+") as file:
            os.fsync(file.fileno())
        size = received.stat().st_size
        target = self.path(instance.series, instance.key)
        with self._lock:
            if instance.key in self._keys or self._journal.is_judged(instance.key):
                return Kept.KNOWN
            if self._bytes + size > self._max_bytes or self._is_disk_full():
                return Kept.NO_ROOM
            if not target.parent.is_dir():
                target.parent.mkdir(mode=0o700)
                sync_folder(self._images)
            received.replace(target)
            sync_folder(target.parent)
            self._add(instance.series, instance.key, size).holders.add(holder)
        return Kept.NEW

    def path(self, series: str, key: str) -> Path:
        """Return where an image lies."""
        return self._images / series / f"{key}.dcm"

    def ready(self, settle_s: float, quiet_s: float) -> list[str]:
        """Return the series that are to be judged now, the longest waiting first.

        Args:
            settle_s: So long after its last image, where no association brings more.
            quiet_s: And so long where one might.
        """
        now = time.monotonic()
        with self._lock:
            found = []
            for series, entry in self._series.items():
                entry.holders = {one for one in entry.holders if one.is_alive()}
                if now - entry.last >= (quiet_s if entry.holders else settle_s):
                    found.append((entry.last, series))
        return [series for _, series in sorted(found)]

    def images(self, series: str) -> list[Path]:
        """Return the files of a series."""
        with self._lock:
            return [self.path(series, key) for key in self._series[series].sizes]

    def forget(self, series: str, keys: list[str]) -> None:
        """Remove images that are judged."""
        with self._lock:
            entry = self._series[series]
            for key in keys:
                self._bytes -= entry.sizes.pop(key)
                self._keys.discard(key)
                self.path(series, key).unlink(missing_ok=True)
            if not entry.sizes:
                del self._series[series]
                with suppress(OSError):  # somebody else put something into it
                    self.path(series, "").parent.rmdir()

    def set_aside(self, series: str, key: str) -> None:
        """Move an image that cannot be read any more to where it is not judged."""
        folder = self._folder / "unreadable"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = self.path(series, key)
        if path.exists():
            path.replace(folder / path.name)
        self.forget(series, [key])

    def weigh(self, size: int) -> None:
        """Count bytes that are to be sent, or, below 0, have been."""
        with self._lock:
            self._bytes += size

    def sweep(self) -> None:
        """Throw away what senders have left half received."""
        oldest = time.time() - _ABANDONED_S
        for path in self.incoming.iterdir():
            with suppress(FileNotFoundError):  # it is received by now
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _is_disk_full(self) -> bool:
        return shutil.disk_usage(self._folder).free < KEPT_FREE_BYTES
