"""Values as JSON that strict readers take: no number that is none, no text that is no text."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from edge_mri.storage.spelling import valid

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
        values = _without_nan(values)
        text = json.dumps(values, allow_nan=False, **options)
    return json.dumps(each_text(values, valid), **options) if _MAYBE_LONE.search(text) else text


def json_array(all_values: Iterable[Any]) -> Iterator[str]:
    """Give the parts of a JSON array, an element a line, each before the next is asked for."""
    separator = "[\n"
    for values in all_values:
        yield separator + json_text(values)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def each_text(values: Any, change: Callable[[str], str]) -> Any:
    """Return values with each text in them changed, such as by `spelling.spelled`."""
    if isinstance(values, dict):
        return {each_text(key, change): each_text(value, change) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [each_text(value, change) for value in values]
    return change(values) if isinstance(values, str) else values


def _without_nan(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_without_nan(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
