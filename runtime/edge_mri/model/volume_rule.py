"""When the slices of a volume say together what the volume is; what applies it is elsewhere.

A contract may carry its own, fitted for its model; the default is that of the packaged model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edge_mri.errors import ContractError
from edge_mri.storage.json_document import is_number, shown


@dataclass(frozen=True)
class VolumeRule:
    """What neighbouring slices must say. Fitted on volumes: docs/decisions/0063.

    P(any tumour) is averaged over as many neighbours as `neighbours` and `share` ask for, and the
    highest of these means answers for the volume.

    Attributes:
        neighbours: The fewest slices that are averaged.
        share: Where it is more, this share of the stack's slices, 0 to 1: a lesion is on more
            slices where they are thin, and so is a false alarm.
        tumor_from: From this mean on the volume has the tumour type of these neighbours.
        free_below: Below it the volume has no tumour; in between it has no type.
    """

    neighbours: int = 3
    share: float = 1 / 12
    tumor_from: float = 0.85
    free_below: float = 0.5

    def __post_init__(self) -> None:
        numbers = all(map(is_number, (self.share, self.tumor_from, self.free_below)))
        ordered = numbers and 0 <= self.free_below <= self.tumor_from <= 1 and 0 <= self.share <= 1
        if not ordered or type(self.neighbours) is not int or self.neighbours < 1:
            raise ContractError(
                f"its volumes cannot be {shown(asdict(self))}; expected neighbours from 1 on, "
                "share from 0 to 1, and 0 <= free_below <= tumor_from <= 1"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "VolumeRule":
        """Read it from JSON values; raises `ContractError` saying what is wrong."""
        if set(values) != {one.name for one in fields(cls)}:
            raise ContractError(f"its volumes cannot be {shown(dict(values))}")
        return cls(**values)

    def window(self, slices: int) -> int:
        """Return how many neighbours are averaged in a stack of so many slices."""
        return max(self.neighbours, round(self.share * slices))
