"""Signatures: who made a model file, for those who decide whose models a device runs.

Ed25519 (RFC 8032, by the package cryptography, extra `[sign]`) over the hash of all that is in the
file (`edge_mri.model.content_hash`). The signature lies in the file's `metadata_props`, as scheme,
public key and signature in Base64; the key there only tells whose it is, what counts is the key
that is required. Signing is `edge-mri sign`.
"""

import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_mri.errors import MissingExtraError, OptionError, SignatureError
from edge_mri.model.content_hash import SIGNATURE_KEY, with_hash, with_signature
from edge_mri.model.protobuf import BrokenError
from edge_mri.storage.regular_file import read_regular

if TYPE_CHECKING:
    from edge_mri.model.onnx_file import OnnxFile

VARIABLE = "EDGE_MRI_REQUIRE_SIGNATURE"
OPTION = "--require-signature"

_SCHEME = "ed25519"
_CONTEXT = b"edge-mri model signature 1\0"  # a signature of something else is none of a model
_MAX_KEY_BYTES = 2**16
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64


def required_signature(
    asked: str | os.PathLike[str] | None, variables: Mapping[str, str] = os.environ
) -> Path | None:
    """Return the public key that must have signed a model: what is asked for, else the variable's.

    Raises:
        OptionError: The variable is set and empty, which may be a mistake that lets any model run.
    """
    if asked is not None:
        return Path(asked)
    named = variables.get(VARIABLE)
    if named is None:
        return None
    if not named.strip():
        raise OptionError(f"{VARIABLE} is empty; expected the path of a public key, or unset it")
    return Path(named)


def require_signature(model: "OnnxFile", key: Path) -> None:
    """Refuse a model that is not signed with the private half of a key.

    Raises:
        SignatureError: It is unsigned, signed with another key, or was edited since; or the key is
            no Ed25519 public key in PEM.
        ContentError: It is not what its own hash says.
        MissingExtraError: The package cryptography is not installed.
    """
    public = _public_key(key)
    stated = model.metadata.get(SIGNATURE_KEY)
    if stated is None:
        raise SignatureError(
            f"{model.path} is not signed, and a signature by {key} is required; "
            "sign it with `edge-mri sign MODEL --key KEY.pem`"
        )
    parts = _parts(stated)
    if parts is None:
        raise SignatureError(f"{model.path} holds a signature that cannot be read; sign it again")
    signer, signature = parts
    model.check_content()
    wanted = public.public_bytes_raw()
    if signer != wanted:
        raise SignatureError(
            f"{model.path} is signed with another key: {fingerprint(signer)}, "
            f"required is {fingerprint(wanted)} ({key})"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, _signed(model))
    except InvalidSignature as error:
        raise SignatureError(
            f"{model.path} was edited after it was signed: its signature is not valid for what is "
            "in it; copy the file anew, or sign it again"
        ) from error


def signer_of(metadata: Mapping[str, str]) -> str | None:
    """Return the fingerprint of the key that a file says it is signed with; nothing is checked."""
    parts = _parts(metadata.get(SIGNATURE_KEY, ""))
    return None if parts is None else fingerprint(parts[0])


def sign(model: "OnnxFile", key: Any) -> tuple[bytes, str]:
    """Return a model file's bytes with hash and signature, and the fingerprint of the key.

    Args:
        model: The file; what it states of itself must hold.
        key: An Ed25519 private key of the package cryptography.
    """
    public: bytes = key.public_key().public_bytes_raw()
    signature: bytes = key.sign(_signed(model))
    entry = f"{_SCHEME} {_base64(public)} {_base64(signature)}"
    return with_signature(with_hash(model.data), entry), fingerprint(public)


def fingerprint(public: bytes) -> str:
    """Return what tells a key from another: SHA-256 of its 32 bytes, in Base64."""
    return f"SHA256:{_base64(hashlib.sha256(public).digest()).rstrip('=')}"


def _signed(model: "OnnxFile") -> bytes:
    try:
        return _CONTEXT + bytes.fromhex(model.content_sha256)
    except BrokenError as error:
        raise SignatureError(f"{model.path} is damaged: it cannot be hashed") from error


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _parts(entry: str) -> tuple[bytes, bytes] | None:
    scheme, _, rest = entry.partition(" ")
    try:
        public, signature = (binascii.a2b_base64(one, strict_mode=True) for one in rest.split(" "))
    except ValueError:  # not two, or no Base64
        return None
    right = (len(public), len(signature)) == (_KEY_BYTES, _SIGNATURE_BYTES)
    return (public, signature) if right and scheme == _SCHEME else None


def _public_key(path: Path) -> Any:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"… {OPTION}", "sign", "cryptography") from error
    expected = "expected an Ed25519 public key in PEM, as `edge-mri sign --new-key` writes it"
    try:
        public = load_pem_public_key(read_regular(path, _MAX_KEY_BYTES))
    except OSError as error:
        raise SignatureError(f"cannot read the key {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is no public key; {expected}") from error
    if not isinstance(public, Ed25519PublicKey):
        raise SignatureError(f"{path} is a public key of another kind; {expected}")
    return public
