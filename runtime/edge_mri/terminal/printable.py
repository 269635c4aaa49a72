"""What people are shown: nothing that a terminal would obey, and a line for a line.

Names in model files, file names and messages may hold anything.
`edge_mri.terminal.standard_streams` lets all that a command prints through `printable`; what is
made of lines goes through `show`, so that no name adds a line either. Records for machines are not
text for people: they stay as they are.
"""

import sys
from collections.abc import Iterable

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, keep: str = "") -> str:
    r"""Spell out what is not printable as JSON spells it, such as `\u001b`: JSON stays that JSON.

    What is printable says `str.isprintable`. Not so are control characters (C0, DEL, C1), what
    turns the direction of writing or has no width, separators but the space, private and
    unassigned characters, and the halves of pairs as which undecodable bytes of names come.

    Args:
        text: Any.
        keep: Characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _spelt(one) for one in text)


def show(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines on stdout or stderr, each as one line whatever it holds."""
    stream = sys.stderr if err else sys.stdout
    stream.write("".join(f"{printable(line)}\n" for line in lines))
    stream.flush()


def _spelt(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return _SHORT.get(character) or "".join(
        f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)
    )
