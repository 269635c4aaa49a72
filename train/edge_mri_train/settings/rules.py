"""What settings may be, each with the words that a message tells it in."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """What a setting may be.

    Attributes:
        holds: Whether a value may be.
        expected: The same in words.
    """

    holds: Callable[[Any], bool]
    expected: str


_MOST = 10**9  # what no run comes to, and every library still counts with


def whole(least: int, most: int = _MOST) -> Rule:
    """Return the rule of a whole number, both ends allowed."""
    words = f"of {least} or more" if most == _MOST else f"from {least} to {most}"
    return Rule(
        lambda one: isinstance(one, int) and not isinstance(one, bool) and least <= one <= most,
        f"a whole number {words}",
    )


def number(holds: Callable[[float], bool], words: str) -> Rule:
    """Return the rule of a finite number of a range."""
    return Rule(
        lambda one: (
            isinstance(one, int | float)
            and not isinstance(one, bool)
            and abs(one) <= sys.float_info.max
            and holds(one)
        ),
        f"a number {words}",
    )


def one_of(*names: str) -> Rule:
    """Return the rule of a choice."""
    return Rule(lambda one: one in names, f"one of {', '.join(names)}")


def or_none(rule: Rule) -> Rule:
    """Return the rule that allows None too, which no message needs to tell."""
    return Rule(lambda one: one is None or rule.holds(one), rule.expected)


ABOVE_0 = number(lambda one: one > 0, "above 0")
WEIGHT = number(lambda one: one >= 0, "of 0 or more")
SHARE = number(lambda one: 0 <= one < 1, "of 0 or more and below 1")
SWITCH = Rule(lambda one: isinstance(one, bool), "true or false")
TEXT = Rule(lambda one: isinstance(one, str) and one != "", "a text")
TEXTS = Rule(
    lambda one: isinstance(one, tuple) and all(isinstance(text, str) for text in one),
    "several texts",
)
