"""Which planes of a volume are cut: those that were acquired, all three, or some by name.

A stack of thick slices can be cut across, but what comes out is an interpolation that no model was
trained on. Measured: docs/decisions/0063.
"""

from collections.abc import Sequence

from edge_mri.errors import ImageDecodeError, OptionError
from edge_mri.images.pixels.plane import PLANES

Planes = tuple[str, ...]
"""`("acquired",)`, `("all",)`, or names of planes."""

ACQUIRED: Planes = ("acquired",)
ALL: Planes = ("all",)

MOST_UNEQUAL = 2.0
"""How many times longer than the other a side of a slice's voxels, or of the slice, may be."""


def planes_named(text: str) -> Planes:
    """Read an option such as `axial,coronal`.

    Raises:
        OptionError: It is neither `all` nor `acquired` nor a list of planes.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.lower().split(",")))
    if names in (ACQUIRED, ALL) or set(names) <= set(PLANES):
        return names
    raise OptionError(
        f"planes are {text!r}; expected acquired, all, or some of {', '.join(PLANES)} with commas"
    )


def axes_to_cut(
    shape: Sequence[int],
    spacing: Sequence[float],
    names: Sequence[str | None],
    wanted: Planes,
) -> list[int]:
    """Return the axes that a volume is cut across, ascending.

    A plane counts as acquired where neither the sides of its voxels nor those of the whole slice,
    in millimetres, differ by more than `MOST_UNEQUAL` times: thick slices fail by the first, slabs
    and volumes whose file states no spacing by the second. Where none passes, the best does.

    Args:
        shape: Voxels along the three axes.
        spacing: Millimetres between them; all the same where the file states none.
        names: The plane across each axis, None where it has no name.
        wanted: Which planes.

    Raises:
        ImageDecodeError: It has no slice, or none in a plane that is wanted.
    """
    unequal = {
        axis: _unequal([(shape[other], spacing[other]) for other in range(3) if other != axis])
        for axis in range(3)
        if min(shape[other] for other in range(3) if other != axis) > 1
    }
    if not unequal:
        raise ImageDecodeError("it holds no slice: its volume is one voxel thin along two axes")
    if wanted == ALL:
        return list(unequal)
    if wanted == ACQUIRED:
        most = max(MOST_UNEQUAL, min(unequal.values()))
        return [axis for axis, ratio in unequal.items() if ratio <= most]
    chosen = [axis for axis in unequal if names[axis] in wanted]
    if not chosen:
        has = ", ".join(dict.fromkeys(name for axis in unequal if (name := names[axis])))
        why = f"they are {has}" if has else "they have no names, for it does not say how it lies"
        raise ImageDecodeError(
            f"none of its planes is {' or '.join(wanted)}: {why}; --planes all takes them"
        )
    return chosen


def _unequal(sides: list[tuple[int, float]]) -> float:
    """Return the larger of two ratios: of the voxel's sides, and of the slice's."""
    steps = [step for _, step in sides]
    lengths = [count * step for count, step in sides]
    if min(steps) <= 0:
        return float("inf")
    return max(max(steps) / min(steps), max(lengths) / min(lengths))
