"""Values as JSON that strict readers take: no number that is none, no text that is no text."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from edge_mri.spelling import valid

_MAYBE_LONE = re.compile(r"\\ud[89a-f]")


def json_text(values: Any, **options: Any) -> str:
    """Return JSON in ASCII; `null` for NaN and infinities, lone surrogates as `valid` has them.

    Args:
        values: Anything that JSON can hold.
        options: For `json.dumps`, such as `indent`.
    """
    try:
        text = json.dumps(values, allow_nan=False, **options)
    except ValueError:
        text = json.dumps(_clean(values), allow_nan=False, **options)
    return json.dumps(_clean(values), **options) if _MAYBE_LONE.search(text) else text


def json_array(all_values: Iterable[Any]) -> Iterator[str]:
    """Give the parts of a JSON array, an element a line, each before the next is asked for."""
    separator = "[\n"
    for values in all_values:
        yield separator + json_text(values)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _clean(values: Any) -> Any:
    if isinstance(values, dict):
        return {_clean(key): _clean(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_clean(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return valid(values) if isinstance(values, str) else values
