"""What a dataset is made of: tasks, so many files each, named by the files that they hold.

The same listing gives the same tasks, so that a resumed run passes over those that have a part.
Where it lists otherwise, the paths in the other parts say which files are done.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from edge_mri.records.resume import Done
from edge_mri.remote.url import Place

FILES = 1024
"""Files of a task, where nobody says: a part of about a megabyte, some seconds of work."""


class Task(NamedTuple):
    """Files that are answered together, and the name of their part."""

    name: str
    files: list[Place]

    @classmethod
    def of(cls, files: Sequence[Place], taken: Mapping[str, int] | None = None) -> "Task":
        """Name some files; `taken` says how many tasks hold just these files already."""
        names = hashlib.blake2b(digest_size=10)
        for file in files:
            names.update(str(file).encode("utf-8", "surrogatepass") + b"\0")
        name, again = names.hexdigest(), (taken or {}).get(names.hexdigest(), 0)
        return cls(f"{name}-{again + 1}" if again else name, list(files))

    def halves(self) -> list["Task"]:
        """Return two tasks of half of the files each."""
        middle = len(self.files) // 2
        return [Task.of(self.files[:middle]), Task.of(self.files[middle:])]


class Tasks:
    """The tasks that are to be done for some files.

    Args:
        files: All files.
        size: How many a task has.
        parts: Names of tasks that have their part, and where that is.
        read: Reads which files some parts cover; asked once, where the listing has changed.

    Attributes:
        passed_over: Files that have their records.
    """

    def __init__(
        self,
        files: Iterable[Place],
        size: int,
        parts: Mapping[str, Place],
        read: Callable[[Iterable[Place]], Done],
    ) -> None:
        self.passed_over = 0
        self._files = iter(files)
        self._size = size
        self._open = dict(parts)
        self._read = read
        self._taken: Counter[str] = Counter()
        self._done: Done | None = None

    def __iter__(self) -> Iterator[Task]:
        while files := list(islice(self._files, self._size)):
            task = self._named(files)
            if self._open.pop(task.name, None) is not None and self._done is None:
                self.passed_over += len(files)
                continue
            if self._open and self._done is None:
                self._done = self._read(self._open.values())
            if self._done is not None:
                left = [file for file in files if not self._done.take(str(file))]
                self.passed_over += len(files) - len(left)
                if len(left) < len(files):
                    task = self._named(left)
            if task.files:
                yield task

    def _named(self, files: Sequence[Place]) -> Task:
        task = Task.of(files, self._taken)
        self._taken[task.name.partition("-")[0]] += 1
        return task
