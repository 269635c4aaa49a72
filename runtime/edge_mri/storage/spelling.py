r"""File names, and other text, as every reader of JSON, CSV and HTML takes them; and back.

A file name is bytes. What of it is no UTF-8 reaches Python as a lone surrogate, which strict
readers refuse. Such a byte is spelled `\xff`. Each backslash is doubled in a name that has one, and
in one that holds what looks like such a spelling. All other names stay as they are. So two
names never have one spelling, and in a shell `printf %b` gives the bytes back.
"""

import re

_LONE = re.compile("[\ud800-\udfff]")
_SPELLED = re.compile(r"\\(?:x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
_PART = re.compile(rf"\\\\|{_SPELLED.pattern}")


def spelled(name: str) -> str:
    """Return a name as valid text, a different one for each name."""
    if name.isascii() and "\\" not in name:
        return name
    if not (_LONE.search(name) or _SPELLED.search(name)):
        return name
    return valid(name.replace("\\", "\\\\"))


def valid(text: str) -> str:
    """Return text for people, with what no UTF-8 can hold escaped; other text as it is."""
    return text if text.isascii() else _LONE.sub(lambda found: _escape(ord(found[0])), text)


def meant(text: str) -> str:
    """Return the name that `spelled` made a text of."""
    if not _SPELLED.search(text):
        return text
    return _PART.sub(lambda found: _unescape(found[0]), text)


def _escape(code: int) -> str:
    """Spell a byte as Python holds it, or half of a pair, which a name has on Windows alone."""
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _unescape(part: str) -> str:
    if part == "\\\\":
        return "\\"
    return chr(int(part[2:], 16) + (0xDC00 if part[1] == "x" else 0))
