"""Why a file behind a URL cannot be had, in words that hold no credential.

Packages say it in exceptions of their own, which are known here by name and code: none is imported.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge_mri.errors import EdgeMriError, RemoteError
from edge_mri.remote.url import Url, without_secrets

_LONGEST = 200  # characters of another package's reason
_NO_CREDENTIALS = (
    "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
    "for a bucket that is open to all FSSPEC_S3_ANON=true"
)
_DENIED = "the credentials do not allow it; check whose they are, and what they may do there"


@contextmanager
def told(url: Url) -> Iterator[None]:
    """Turn what packages raise into `RemoteError`."""
    try:
        yield
    except (EdgeMriError, FileExistsError, MemoryError):
        raise
    except Exception as error:
        raise RemoteError(url, reason_of(error)) from None  # its chain quotes the address


def reason_of(error: BaseException) -> str:
    """Return a reason in words."""
    name, code = type(error).__name__, code_of(error)
    for fits, reason in _REASONS:
        if fits(error, name, code):
            return reason
    text = " ".join(without_secrets(str(error)).split())
    if code.isdigit():
        text = f"the server answers {code}"
    return f"{name}: {text[:_LONGEST]}" if text else name


def code_of(error: BaseException) -> str:
    """Return the code that a server gave: S3's own where there is one, else HTTP's."""
    status = getattr(error, "status", None)
    cause: Any = error if hasattr(error, "response") else error.__cause__
    answer = getattr(cause, "response", None)
    if isinstance(answer, dict):
        status = answer.get("Error", {}).get("Code", status)
    return str(status or "")


_Fits = Callable[[BaseException, str, str], bool]
_REASONS: list[tuple[_Fits, str]] = [
    (lambda _, name, code: "Credentials" in name or "TokenRetrieval" in name, _NO_CREDENTIALS),
    (lambda _, __, code: code == "NoSuchBucket", "there is no such bucket"),
    (
        lambda _, __, code: code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
        "the server does not take the credentials; check AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE",
    ),
    (
        lambda error, _, code: (
            isinstance(error, PermissionError) or code in ("401", "403", "AccessDenied")
        ),
        _DENIED,
    ),
    (
        lambda error, _, code: isinstance(error, FileNotFoundError) or code in ("404", "410"),
        "there is no such file",
    ),
    (
        lambda error, name, _: isinstance(error, TimeoutError) or "Timeout" in name,
        "it does not answer in time",
    ),
    (
        lambda error, name, _: (
            isinstance(error, ConnectionError) or name.startswith(("EndpointConn", "ClientConn"))
        ),
        "its server cannot be reached; check the address (of S3 also AWS_ENDPOINT_URL) and the "
        "network",
    ),
]
