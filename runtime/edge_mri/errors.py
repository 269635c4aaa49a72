"""The errors edge-mri raises, as one tree.

Every leaf also inherits the builtin that a caller would expect, and builds its own message:
what was expected, what came, what to do next.

    EdgeMriError
    ├── ImageError                        one image; a folder run records it and goes on
    │   ├── ImageReadError(OSError)
    │   ├── ImageDecodeError(ValueError)
    │   ├── ImageSizeError(ValueError)
    │   ├── ImageMemoryError(MemoryError)
    │   └── ImageSupportError(ImportError)
    ├── ModelError                        a model file
    │   ├── ModelNotFoundError(FileNotFoundError)
    │   ├── ModelFormatError(ValueError)
    │   ├── WeightsError(ValueError)
    │   ├── ContentError(ValueError)
    │   ├── SignatureError(ValueError)
    │   ├── AnswerError(ValueError)
    │   ├── ContractError(ValueError)
    │   └── GoldenValuesError(ValueError)
    ├── DataError                         a folder of images
    │   ├── FolderNotFoundError(FileNotFoundError)
    │   └── NoImagesError(ValueError)
    ├── OptionError(ValueError)           an option, or a combination of options
    ├── RemoteError(OSError)              a URL that cannot be reached, listed or read
    ├── OutputError(OSError)              a result that cannot be written
    ├── DeviceError(RuntimeError)         a device that was asked for and is not there
    ├── RunError(RuntimeError)            onnxruntime failed while it ran a model
    ├── SystemRefusalError(OSError)       the system refuses what a command needs
    ├── PackageError(ImportError)         a dependency that is missing, too old or broken
    └── MissingExtraError(ImportError)    an optional dependency that is not installed

`edge_mri_train`, `edge_mri_export` and `edge_mri_bench` add leaves of their own to the same tree.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `edge-mri --help` needs no paths, and their module takes its time
    from pathlib import Path

_LONGEST = 400  # characters of a reason that quotes a file


def listed(names: Sequence[object], most: int = 10, separator: str = ", ") -> str:
    """Return the first names as a message tells them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(map(str, names[:most])) + more


class EdgeMriError(Exception):
    """Base of all errors that edge-mri raises on purpose.

    Attributes:
        exit_code: What the command line exits with when this error ends a command.
    """

    exit_code = 2


class ImageError(EdgeMriError):
    """One image cannot be used.

    Attributes:
        path: The file, where the message is to name it; a record has a path of its own.
    """

    path: str | None = None

    def __str__(self) -> str:
        reason = super().__str__()
        return reason if self.path is None else f"{self.path}: {reason}"


class ImageReadError(ImageError, OSError):
    """The file cannot be opened or read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot read the file: {reason}")


class ImageDecodeError(ImageError, ValueError):
    """The bytes or the array are no image that can be decoded."""


class ImageSizeError(ImageError, ValueError):
    """The image is larger than the limit."""

    def __init__(self, what: str, limit: str) -> None:
        super().__init__(f"image too large: {what}, the limit is {limit}")


class ImageMemoryError(ImageError, MemoryError):
    """There is not enough memory for what is to be done with the image."""

    def __init__(self, verb: str) -> None:
        super().__init__(
            f"there is not enough memory to {verb} it; fewer --threads and a smaller --batch-size "
            "need less"
        )


class ImageSupportError(ImageError, ImportError):
    """The image's format needs an optional dependency that is not installed, or broken."""

    def __init__(self, extra: str, module: str, found: str = "") -> None:
        if found:
            told = f"{module}: {found}; type: pip install --force-reinstall '{module}'"
        else:
            told = (
                f"{module}, which is not installed; type: pip install 'edge-mri[{extra}]' "
                f"(in a checkout: pip install '.[{extra}]')"
            )
        super().__init__(f"a file of this format needs {told}")


class ModelError(EdgeMriError):
    """A model file cannot be used."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """There is no model file at the given path."""

    def __init__(self, path: Path, next_step: str = "") -> None:
        super().__init__(f"model file not found: {path}" + (next_step and f"; {next_step}"))


class ModelFormatError(ModelError, ValueError):
    """The file is not a model of the expected kind."""

    def __init__(self, path: Path, expected: str, reason: str) -> None:
        super().__init__(f"{path} is not {expected}: {reason}")


class WeightsError(ModelError, ValueError):
    """The weights in a model file are not those that were written."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path} was edited or damaged after its export: its weights hash to {found[:12]}…, "
            f"its contract says {expected[:12]}…; copy the file anew, or export it again"
        )


class ContentError(ModelError, ValueError):
    """What is in a model file is not what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} was edited or damaged after its export: {reason}; "
            "copy the file anew, or export it again"
        )


class SignatureError(ModelError, ValueError):
    """A model is not signed by the key that is required, or a key cannot be used."""


class AnswerError(ModelError, ValueError):
    """What a model gives are no numbers, such as after an overflow of FP16."""

    @classmethod
    def of(cls, output: str, rows: int, images: int) -> AnswerError:
        """Return that of some of the images to which one output gives no numbers."""
        return cls(f"{rows} of {images} images have no answer: {cls.reason(output)}")

    @staticmethod
    def reason(output: str) -> str:
        """Return what is wrong with an output, and what to do."""
        return (
            f"the model's output {output} holds values that are no numbers "
            "(NaN, infinity, an overflow); export it again, in FP32 where it is FP16"
        )


class ContractError(ModelError, ValueError):
    """The model carries no contract, or one that this version does not understand."""

    def __init__(self, reason: str) -> None:
        reason = " ".join(reason.split())
        reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
        super().__init__(
            f"the model's contract cannot be used: {reason}; "
            "write the model again with `edge-mri export`"
        )


class GoldenValuesError(ModelError, ValueError):
    """The golden values of a model are not there, or something else."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"the golden values {path} cannot be used: {reason}; "
            "write them with `edge-mri check MODEL --write`"
        )


class DataError(EdgeMriError):
    """A folder of images cannot be used."""


class FolderNotFoundError(DataError, FileNotFoundError):
    """There is no file or folder at the given path, or for a reason it cannot be reached."""

    def __init__(self, path: object, reason: str = "") -> None:
        told = f"cannot reach {path}: {reason}" if reason else f"no such file or folder: {path}"
        super().__init__(told)


class NoImagesError(DataError, ValueError):
    """There is no image below the given paths; `-` among them is a list on stdin."""

    def __init__(self, paths: Sequence[object], suffixes: Sequence[str]) -> None:
        on_stdin = "-" in map(str, paths)
        places = ["the paths listed on stdin" if str(path) == "-" else path for path in paths]
        super().__init__(
            f"no images below {listed(places)}; looked for {', '.join(suffixes)}"
            + "; such a list has paths separated by newlines or null characters, as "
            "`find DIR -type f` writes it" * on_stdin
        )


class OptionError(EdgeMriError, ValueError):
    """An option has a value that cannot be used."""


class RemoteError(EdgeMriError, OSError):
    """What a URL names cannot be reached, listed or read; `reason` says why, without the URL."""

    def __init__(self, url: object, reason: str) -> None:
        super().__init__(f"cannot reach {url}: {reason}")
        self.reason = reason


class OutputError(EdgeMriError, OSError):
    """A result cannot be written."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}")

    @classmethod
    def of(cls, path: object, error: OSError) -> OutputError:
        """Return what a system's error means; what to do next, where the system's word is short."""
        reason = error.strerror or str(error)
        next_step = _AFTER_OUTPUT.get(error.errno or 0, "")
        return cls(path, reason + (next_step and f"; {next_step}"))


_NO_FOLDER = "a file lies where a folder must be: name another folder"
_AFTER_OUTPUT = {
    errno.ENOENT: "its folder takes no new file: name another folder",
    errno.EROFS: "its folder takes no new file: name another folder",
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EISDIR: "expected the name of a file",
    errno.ENAMETOOLONG: "give it a shorter one",
}


class DeviceError(EdgeMriError, RuntimeError):
    """A device was asked for and cannot be used."""


class RunError(EdgeMriError, RuntimeError):
    """onnxruntime failed while it ran a model that it had loaded."""

    def __init__(self, device: str, images: int, reason: str) -> None:
        first = next(iter(reason.splitlines()), "") or "no reason given"
        super().__init__(
            f"onnxruntime failed on {device} with {images} images at a time: {first}; "
            "where memory ran out, try a smaller --batch-size or --device cpu"
        )


class SystemRefusalError(EdgeMriError, OSError):
    """The system refuses what a command needs, such as one more open file."""

    def __init__(self, reason: str, more: str = "") -> None:
        super().__init__(f"the system says: {reason}" + (more and f"; {more}"))


class PackageError(EdgeMriError, ImportError):
    """A package that edge-mri cannot do without is missing, too old or broken."""

    def __init__(self, distribution: str, found: str, command: str) -> None:
        super().__init__(f"edge-mri needs {distribution}: {found}; type: {command}")


class MissingExtraError(EdgeMriError, ImportError):
    """A command needs an optional dependency that is not installed."""

    def __init__(self, command: str, extra: str, module: str) -> None:
        super().__init__(
            f"`edge-mri {command}` needs {module}, which is not installed; "
            f"type: pip install 'edge-mri[{extra}]' (in a checkout: pip install '.[{extra}]')"
        )
