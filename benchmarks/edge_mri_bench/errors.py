"""The errors of benchmarking, as leaves of the tree in `edge_mri.errors`.

DataError
└── BaselineError(ValueError)
OptionError
└── BackendError(LookupError)
ModelError
└── FloorError(ValueError)             exit code 1
EdgeMriError
└── ChildError(RuntimeError)
"""

from collections.abc import Sequence
from pathlib import Path

from edge_mri.errors import DataError, EdgeMriError, ModelError, OptionError


class BaselineError(DataError, ValueError):
    """A file is no record of a benchmark."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is no benchmark record that can be used: {reason}; "
            "expected a file written by `edge-mri benchmark --json`"
        )


class BackendError(OptionError, LookupError):
    """Backends were asked for whose names are not known."""

    def __init__(self, names: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(
            f"unknown backend {', '.join(repr(name) for name in names)}; "
            f"expected one of {', '.join(known)}"
        )


class FloorError(ModelError, ValueError):
    """A ratio within one run lies below the floor that was asked for, or was not measured."""

    exit_code = 1

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)


class ChildError(EdgeMriError, RuntimeError):
    """A process that a benchmark started did not end as it should."""
