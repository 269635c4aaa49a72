"""Places that are URLs, in object storage or on the web, where a path may stand.

A `Url` has what is asked of paths: names, parents, what lies below. Nothing is opened here, that is
`edge_mri.remote.files`. Its text, wherever it is shown, written or compared, has no credentials:
neither what stands before an `@`, nor the values of a query that are keys, tokens or signatures.
"""

import re
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

HIDDEN = "***"

_BEGINS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_WEB = ("http", "https")
_BUCKETS = ("s3", "s3a", "gs", "gcs")
_BUCKET = re.compile(r"[\w.-]+|arn:[\w:.-]+")
_USER = re.compile(  # in abfs://CONTAINER@ACCOUNT there is none
    r"(?i)(?<=http://)[^/@\s]+@|(?<=https://)[^/@\s]+@|(?<=://)[^/@\s]*:[^/@\s]*@"
)
_SECRET = re.compile(
    r"(?i)([?&;#][^=&;#\s]*"
    r"(?:auth|code|credential|jwt|key|pass|policy|pwd|secret|session|sig|token)"
    r"[^=&;#\s]*=)[^&;#\s]+"
)


class Url:
    """A place that is no path of this machine.

    Attributes:
        address: The URL as it was given, with the credentials that it may hold: to open it alone.
        size_bytes: Of the file, where a listing has told it.
    """

    __slots__ = ("_text", "address", "size_bytes")

    def __init__(self, address: str, size_bytes: int | None = None) -> None:
        """Take a URL, whatever it names."""
        scheme, _, rest = address.partition("://")
        self.address = f"{scheme.lower()}://{rest}"
        self.size_bytes = size_bytes
        self._text = self.address if self.in_bucket else without_secrets(self.address)
        if self.in_bucket and not self.names_bucket:
            self._text = f"{self.scheme}://{HIDDEN if rest.strip('/') else ''}"

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Url({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __lt__(self, other: "Url") -> bool:
        return self.address < other.address

    def __reduce__(self) -> tuple[Any, ...]:
        return Url, (self.address, self.size_bytes)

    def __truediv__(self, below: str | PurePath) -> "Url":
        path, query = self._divided
        key = below if isinstance(below, str) else below.as_posix()
        return Url(f"{path.rstrip('/')}/{key}{query}")

    @property
    def scheme(self) -> str:
        """What stands before `://`, in lower case."""
        return self.address.partition("://")[0]

    @property
    def key(self) -> str:
        """What comes behind the bucket or host; "" where nothing does."""
        return self._divided[0].partition("://")[2].partition("/")[2]

    @property
    def name(self) -> str:
        """The last part; that of a bucket or host where it is alone."""
        path = self._divided[0].partition("://")[2].rstrip("/")
        return path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The suffix of the name."""
        return PurePosixPath(self.name).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket or host with its scheme, and the parts of the key."""
        scheme, _, rest = self._divided[0].partition("://")
        host, *key = rest.split("/")
        return (f"{scheme}://{host}", *(part for part in key if part))

    @property
    def parent(self) -> "Url":
        """What it lies in; a bucket or host itself."""
        path, query = self._divided
        return Url(path.rstrip("/").rpartition("/")[0] + query) if self.key.strip("/") else self

    @property
    def in_bucket(self) -> bool:
        """Whether it lies in a bucket, where a key may have any character in it."""
        return self.scheme in _BUCKETS

    @property
    def names_bucket(self) -> bool:
        """Whether what it says of its bucket is a name, and no credentials."""
        return _BUCKET.fullmatch(self.address.partition("://")[2].partition("/")[0]) is not None

    @property
    def is_web(self) -> bool:
        """Whether it is asked for by HTTP."""
        return self.scheme in _WEB

    def with_name(self, name: str) -> "Url":
        """Return what lies beside it under another name."""
        return self.parent / name

    def joinpath(self, *parts: str) -> "Url":
        """Return what lies below it."""
        return self / "/".join(parts)

    def resolve(self) -> "Url":
        """Return itself: there are no links."""
        return self

    def is_relative_to(self, other: "str | PurePath | Url") -> bool:
        """Say whether it is another place or lies below it."""
        base = other if isinstance(other, Url) else Url(str(other))
        here, there = self._divided[0], base._divided[0].rstrip("/")
        return here.rstrip("/") == there or here.startswith(f"{there}/")

    def relative_to(self, other: "Place") -> PurePosixPath:
        """Return the way from another place; raises ValueError where it does not lie below it."""
        if not isinstance(other, Url) or not self.is_relative_to(other):
            raise ValueError(f"{self} does not lie below {other}")
        return PurePosixPath(self._divided[0][len(other._divided[0].rstrip("/")) :].lstrip("/"))

    @property
    def _divided(self) -> tuple[str, str]:
        """Path and query; only the web has queries, a key may hold any character."""
        if not self.is_web:
            return self.address, ""
        at = re.search(r"[?#]|$", self.address)
        end = len(self.address) if at is None else at.start()
        return self.address[:end], self.address[end:]


Place = Path | Url
"""Where an image may be."""


def is_url(text: str) -> bool:
    """Say whether a text is a URL; `./s3://…` is a path, as is `C://…`."""
    return "://" in text and _BEGINS.match(text) is not None


def located(text: str) -> Place:
    """Return what a text names: a URL or a path of this machine."""
    return Url(text) if is_url(text) else Path(text)


def without_secrets(text: str) -> str:
    """Return text, such as another package's message, without the credentials of URLs in it."""
    return _SECRET.sub(rf"\g<1>{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
