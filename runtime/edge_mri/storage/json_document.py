"""JSON from files that may hold anything: within bounds, and fit to be printed and written again.

What the values mean is the reader's matter, such as `edge_mri.contract`.
"""

import json
import math
from typing import Any

MAX_DEPTH = 32
_SHOWN_CHARACTERS = 120


def parse(text: str, most_characters: int) -> Any:
    """Read a document of at most so many characters.

    Raises:
        ValueError: It is no JSON, too large or nested too deeply to be one of ours, or holds text
            that no file can hold (half of a surrogate pair).
    """
    if len(text) > most_characters:
        raise ValueError(f"it has {len(text):,} characters, the limit is {most_characters:,}")
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    _check(values, 0)
    return values


def finite(values: Any) -> Any:
    """Return values as strict JSON knows them: None for NaN and infinities, lists for tuples."""
    if isinstance(values, dict):
        return {name: finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def is_number(value: Any) -> bool:
    """Say whether a value is a finite number of a float's range; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def shown(value: Any) -> str:
    """Return a value as a message shows it: what is long is cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # UnicodeEncodeError is a ValueError
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)
