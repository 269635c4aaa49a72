"""The errors of training, as leaves of the tree in `edge_mri.errors`.

DataError
├── IndexFileError(ValueError)
├── LeaveOutError(ValueError)
├── ManifestError(ValueError)
├── OutlineError(ValueError)
├── NoUsableImagesError(ValueError)
├── UnknownClassError(ValueError)
├── UnusableImagesError(ValueError)
└── LabelsMissingError(ValueError)
ModelError
├── CheckpointError(ValueError)
├── InitialWeightsError(ValueError)
└── SeenImagesError(ValueError)
OptionError
├── ArchitectureError(LookupError)
├── FactoryError(LookupError)
├── FactoryNotNamedError(PermissionError)
└── RunFolderError
"""

from collections.abc import Sequence
from pathlib import Path

from edge_mri.errors import DataError, ModelError, OptionError, listed
from edge_mri.remote.url import Place


def first_line(error: Exception) -> str:
    """Return the first line of what another library's error says, or at least its name."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class UnknownClassError(DataError, ValueError):
    """Folders with images that match no label, by their own names or those of the files."""

    def __init__(
        self,
        folders: Sequence[Place],
        types: Sequence[str] = (),
        planes: Sequence[str] = (),
        *,
        by_pattern: bool = False,
    ) -> None:
        expected = f"a type ({listed(types, most=8)})" if types else "a type"
        if types and planes:
            expected += (
                f", alone or with a plane ({listed(planes, most=8)}), such as "
                f"{types[0]}_{planes[0]}"
            )
        if by_pattern:
            super().__init__(
                f"--pattern reads no known label in the names of files in {listed(folders, most=5)}"
                f"; expected {expected} as its group type; let it match every file, or move the "
                "others out of the set"
            )
            return
        super().__init__(
            f"class folders that match no label: {listed(folders, most=5)}; expected {expected}; "
            "to take the folders' own names as the types, type: --labels folders (of train, split "
            f"and audit); to say what one means: --map '{folders[0].name}=LABEL'"
        )


class IndexFileError(DataError, ValueError):
    """An index of images cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the index {path} cannot be used: {reason}")


class LeaveOutError(DataError, ValueError):
    """A list of files to leave out cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"--leave-out {path}: {reason}")


class UnusableImagesError(DataError, ValueError):
    """Images of a set cannot be used."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(
            f"{len(reasons)} images cannot be used: {listed(reasons, separator='; ')}; "
            "repair or remove them (`edge-mri audit` lists all)"
        )


class ManifestError(DataError, ValueError):
    """A split manifest cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the split manifest {path} cannot be used: {reason}")


class OutlineError(DataError, ValueError):
    """An outline or mask of a lesion cannot be used."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"the outlines in {path} cannot be used: {reason}")


class NoUsableImagesError(DataError, ValueError):
    """There are images, and not one of them can be read."""

    def __init__(self, count: int, first: object, reason: Exception) -> None:
        super().__init__(f"none of {count} images can be used; the first is {first}: {reason}")


class LabelsMissingError(DataError, ValueError):
    """Images lack what a task needs of their labels, or a class has no image."""


class CheckpointError(ModelError, ValueError):
    """A file is no checkpoint of edge-mri, or one that this version does not understand."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is no checkpoint that can be used: {reason}; "
            "expected a checkpoint.pt written by `edge-mri train`"
        )


class InitialWeightsError(ModelError, ValueError):
    """Starting weights are not there or do not fit the architecture."""


class SeenImagesError(ModelError, ValueError):
    """Bytes are no memory of training images, or one that this version does not understand."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the memory of training images cannot be used: {reason}")


class ArchitectureError(OptionError, LookupError):
    """An architecture that is not known."""

    def __init__(self, name: str, close: Sequence[str]) -> None:
        known = (
            "expected edge_net, artemis_cnn, a torchvision classifier such as mobilenet_v2, "
            "timm:NAME, or package.module:function of your own"
        )
        hint = f"did you mean {' or '.join(close)}?" if close else known
        super().__init__(f"unknown architecture {name!r}; {hint}")


class FactoryError(OptionError, LookupError):
    """A function that is to make a network is not there, or makes none that can be used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"--arch {name}: {reason}")


class FactoryNotNamedError(OptionError, PermissionError):
    """A file names code that would have to run, and the caller did not.

    Attributes:
        name: The function, `package.module:function`.
    """

    def __init__(self, path: Path, name: str, option: str = "--arch") -> None:
        super().__init__(
            f"{path} is of the network {name}, whose code runs only where you name it; "
            f"add {option} {name} if you trust it"
        )
        self.name = name


class RunFolderError(OptionError):
    """A run that cannot be started, found or continued."""
