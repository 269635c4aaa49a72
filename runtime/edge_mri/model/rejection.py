"""When a model does not answer: the part of a contract that says so.

What is said of an image by it is `edge_mri.answers.decision`; how it is fitted,
`edge_mri_export.gate`.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from edge_mri.errors import ContractError
from edge_mri.storage.json_document import is_number, shown

FOREIGN, UNFAMILIAR = "foreign", "unfamiliar"
_WORDS = (None, FOREIGN, UNFAMILIAR)

_EXPECTED = (
    "a number as max_novelty, 0 <= undecided <= 1 in order, kept from 0 to 1, n from 0 on, "
    f"a number or null as max_foreign, and {UNFAMILIAR} or {FOREIGN} as above"
)


@dataclass(frozen=True)
class Rejection:
    """When a model does not answer. Fitted on validation images, never on test images.

    Attributes:
        max_novelty: Images whose `novelty` output is above it are unlike those that the model
            learned from.
        undecided: P(present) from the first to the second value is too close to call; both the
            same: every image is decided.
        kept: Share of the validation images that are answered, 0 to 1.
        n: How many validation images that is measured on.
        max_foreign: Images whose `foreign` output is above it are no brain MR slices; null: the
            model was shown none.
        above: What an image above `max_novelty` is called, `unfamiliar` or `foreign`; null:
            `unfamiliar` where there is a `max_foreign`, else `foreign`, as in all older files.
    """

    max_novelty: float
    undecided: tuple[float, float]
    kept: float
    n: int
    max_foreign: float | None = None
    above: str | None = None

    def __post_init__(self) -> None:
        low, high = self.undecided
        given = [self.max_novelty, low, high, self.kept, self.n]
        if self.max_foreign is not None:
            given.append(self.max_foreign)
        right = all(map(is_number, given)) and self.above in _WORDS
        if not (right and 0 <= low <= high <= 1 and 0 <= self.kept <= 1 and self.n >= 0):
            raise ContractError(
                f"its rejection cannot be {shown(asdict(self))}; expected {_EXPECTED}"
            )

    @property
    def novel(self) -> str:
        """What an image above `max_novelty` is called: `foreign` or `unfamiliar`."""
        return self.above or (FOREIGN if self.max_foreign is None else UNFAMILIAR)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, without what is null: older versions knew no such key."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Rejection":
        """Read it from JSON values; raises `ContractError` saying what is wrong."""
        names = {one.name: one.default is MISSING for one in fields(cls)}
        needed = {name for name, required in names.items() if required}
        interval = values.get("undecided")
        whole = isinstance(values.get("n"), int)
        known = needed <= set(values) <= set(names)
        if not known or not isinstance(interval, list | tuple) or not whole:
            raise ContractError(f"its rejection cannot be {shown(dict(values))}")
        above, foreign = values.get("above"), values.get("max_foreign")
        numbers = [values["max_novelty"], values["kept"], values["n"], *interval]
        numbers += [] if foreign is None else [foreign]
        if len(interval) != 2 or not all(map(is_number, numbers)) or above not in _WORDS:
            raise ContractError(f"its rejection cannot be {shown(dict(values))}")
        low, high = interval
        return cls(
            float(values["max_novelty"]),
            (float(low), float(high)),
            float(values["kept"]),
            values["n"],
            None if foreign is None else float(foreign),
            above,
        )
