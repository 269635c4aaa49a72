"""Which files a URL stands for: itself, what lies below it, or what a pattern in it matches.

As with paths hidden names are left out, and a pattern is one only where nothing has it as its name.
Listed as it is asked for, so that a bucket of millions is never in memory.
"""

import re
from collections.abc import Iterator

from edge_mri.errors import FolderNotFoundError
from edge_mri.images.patterns import has_magic
from edge_mri.remote.listing import below, kind
from edge_mri.remote.url import Url


def require(url: Url) -> None:
    """Raise unless a URL names a file, a folder, or a pattern that matches.

    On the web nothing is asked here: reading a file tells.

    Raises:
        RemoteError: It cannot be reached, or what it needs is not installed.
        FolderNotFoundError: There is nothing.
    """
    if kind(url) is None and next(_matches(url), None) is None:
        raise FolderNotFoundError(url)


def files(url: Url) -> Iterator[tuple[Url, bool]]:
    """Give files, and whether each is named itself or by a pattern; raises `RemoteError`."""
    found = kind(url)
    if found == "file":
        yield url, True
    elif found == "folder":
        hidden = _hidden(url.key)
        for file in below(url):
            if _hidden(file.key) == hidden:
                yield file, False
    else:
        yield from _matches(url)


def _matches(url: Url) -> Iterator[tuple[Url, bool]]:
    if url.is_web or not has_magic(url.key):
        return
    from fsspec.utils import glob_translate

    pattern = url.key.rstrip("/")
    try:
        expression = re.compile(
            glob_translate(pattern).removesuffix(r"\Z") + r"(/.*)?\Z", re.DOTALL
        )
    except ValueError:  # no pattern, such as **.png
        return
    fixed = 0
    while not has_magic(pattern.split("/")[fixed]):
        fixed += 1
    root = "/".join((url.parts[0], *pattern.split("/")[:fixed]))
    for file in below(Url(root)):
        match = expression.match(file.key)
        if match and _hidden(file.key) <= _hidden(pattern):
            yield file, match[match.re.groups] is None


def _hidden(key: str) -> int:
    return sum(part.startswith(".") for part in key.split("/"))
