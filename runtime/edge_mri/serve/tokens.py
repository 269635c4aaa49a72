"""Who may ask: the tokens of a file, compared in a time that tells nothing of them."""

import hashlib
import hmac
import os
import stat
from pathlib import Path

from edge_mri.errors import OptionError

SHORTEST = 16  # characters


class Tokens:
    """The tokens of a file, one a line; empty lines and those that begin with `#` do not count."""

    def __init__(self, path: Path) -> None:
        """Read them.

        Raises:
            OptionError: The file cannot be read, others may read it, or it holds no token that is
                long enough.
        """
        try:
            if os.name == "posix" and _is_open(path):
                raise OptionError(
                    f"--token-file {path}: others may read it; type: chmod 600 '{path}'"
                )
            lines = path.read_text(encoding="ascii").splitlines()
        except (OSError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            reason = getattr(error, "strerror", None) or "expected ASCII text, one token per line"
            raise OptionError(f"--token-file {path}: {reason}") from error
        tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not tokens or min(map(len, tokens)) < SHORTEST:
            raise OptionError(
                f"--token-file {path}: expected a token of {SHORTEST} characters or more in each "
                "line, such as `openssl rand -hex 32` gives"
            )
        self._hashes = [_hash(token.encode()) for token in tokens]

    def include(self, authorization: bytes) -> bool:
        """Say whether the value of an Authorization header shows one of them."""
        scheme, _, token = authorization.strip().partition(b" ")
        shown = _hash(token.strip())
        known = [hmac.compare_digest(shown, one) for one in self._hashes]
        return scheme.lower() == b"bearer" and any(known)


def _is_open(path: Path) -> bool:
    """Say whether others than the file's owner may read it.

    systemd lets a service read its credentials by an ACL, which shows as rights of the group; only
    that service can enter their folder.
    """
    everybody = stat.S_IRWXG | stat.S_IRWXO
    if str(path.parent) == os.environ.get("CREDENTIALS_DIRECTORY"):
        everybody = stat.S_IRWXO
    return bool(path.stat().st_mode & everybody)


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
