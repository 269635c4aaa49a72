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
            if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
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


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
