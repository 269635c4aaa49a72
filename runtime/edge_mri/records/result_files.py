"""What a run is to write: no image, not the model, no file twice, each where it can be written.

Asked before the first image is read, so that a slip of the hand costs neither an image nor a run.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path

from edge_mri.errors import ImageReadError, OptionError, OutputError
from edge_mri.images import SUFFIXES, VOLUME_SUFFIXES, ImageFiles
from edge_mri.images.formats.headers import FIRST_BYTES, format_of
from edge_mri.images.opening import open_regular
from edge_mri.remote.url import Place
from edge_mri.storage.atomic import require_writable
from edge_mri.storage.claim import claimed


class ResultFiles:
    """What a run is to write, by the names of its options.

    Args:
        output: The records.
        report: The page.
        volumes: The summaries of volumes.
        heatmaps: The folder of heatmaps.

    Raises:
        OptionError: Two of the files are one.
    """

    def __init__(
        self,
        *,
        output: Path | None = None,
        report: Path | None = None,
        volumes: Path | None = None,
        heatmaps: Path | None = None,
    ) -> None:
        self._report, self._volumes, self._heatmaps = report, volumes, heatmaps
        asked = {"answers.csv": output, "report.html": report, "volumes.jsonl": volumes}
        self._by_example = {example: path for example, path in asked.items() if path is not None}
        named = {"--output": output, "--report": report, "--volumes": volumes}
        for (one, path), (other, twin) in combinations(named.items(), 2):
            if path is not None and twin is not None and _are_one_file(path, twin):
                raise OptionError(
                    f"{one} and {other} are both {twin}: one would be written over the other; "
                    "name two files"
                )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other runs from writing to the same files while this lasts.

        Not so the folder of heatmaps: each picture appears whole, under a name of its image's own.

        Raises:
            OutputError: Another run is writing to one of them.
        """
        with ExitStack() as claims:
            for path in self._by_example.values():
                claims.enter_context(claimed(path))
            yield

    def require_writable(self) -> None:
        """Raise `OutputError` where what is written after the run could not be.

        Missing folders are made. The records tell by themselves: they come first.
        """
        for path in (self._report, self._volumes):
            if path is not None:
                require_writable(path)

    def refuse_read(self, files: ImageFiles[Place], model: Path | None) -> None:
        """Refuse to write over what the run reads, over any other image, and where the next reads.

        Args:
            files: Its images.
            model: Its model; None for the packaged model.

        Raises:
            OutputError: A file has the suffix of an image, holds one, or is named as an input; the
                folder of heatmaps is one to classify, or lies below one.
        """
        if self._heatmaps is not None and files.takes_from(self._heatmaps):
            raise OutputError(
                self._heatmaps,
                "the next run would take the heatmaps in it for images to classify; "
                "name a folder outside of those to classify",
            )
        for example, path in self._by_example.items():
            name = path.name.lower()
            suffix = next((one for one in SUFFIXES + VOLUME_SUFFIXES if name.endswith(one)), None)
            if suffix is not None:
                reason = f"{suffix} is the suffix of an image; name a file such as {example}"
                raise OutputError(path, reason)
            if files.names(path):
                raise OutputError(
                    path,
                    "it is one of the files to classify; name another, or leave it out of them",
                )
            if _holds_image(path):
                raise OutputError(path, "there is an image in it; name another file")
            if model is not None and _is_same(path, model):
                raise OutputError(path, "it is the model; name another file")


def _holds_image(path: Path) -> bool:
    """Say whether a file is there and begins as an image does; any gzip file might be another."""
    try:
        with open_regular(path) as (file, _):
            return format_of(file.read(FIRST_BYTES)) not in (None, "gzip")
    except (ImageReadError, OSError):
        return False


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return False


def _are_one_file(path: Path, other: Path) -> bool:
    """Say whether two results would be one file; a device, such as `/dev/null`, takes both."""
    if path.exists() and not path.is_file():
        return False
    return os.path.realpath(path) == os.path.realpath(other) or _is_same(path, other)
