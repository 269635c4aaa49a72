"""The hash of all that is in a model file, and the signature over it; both in the file itself.

SHA-256 over the fields of the ModelProto message in the order of the file, each as its bytes, but
for the entries of `metadata_props` that hold the hash and the signature. So it covers graph,
weights, operator sets and contract, and saving the same message again does not change it. Whose
signature it is, is `edge_mri.model.signature`.
"""

import hashlib

from edge_mri.model.protobuf import BrokenError, encoded, fields, message, spans

HASH_KEY = "edge_mri.sha256"
SIGNATURE_KEY = "edge_mri.model.signature"
METADATA = 14
"""Number of `metadata_props` in a ModelProto."""


def content_sha256(data: bytes) -> str:
    """Return the hash of a model file's bytes, hexadecimal.

    Raises:
        BrokenError: It is no protobuf message.
    """
    digest, view = hashlib.sha256(), memoryview(data)
    begin = 0  # of what is hashed in one go
    for start, end, key in _entries(view):
        if key in (HASH_KEY, SIGNATURE_KEY):
            digest.update(view[begin:start])
            begin = end
    digest.update(view[begin:])
    return digest.hexdigest()


def with_hash(data: bytes) -> bytes:
    """Return a model file's bytes with the hash of what is in them; a signature is left out."""
    plain = _without(data, (HASH_KEY, SIGNATURE_KEY))
    return plain + _entry(HASH_KEY, content_sha256(plain))


def with_signature(data: bytes, signature: str) -> bytes:
    """Return a model file's bytes with a signature in place of the one it may have."""
    return _without(data, (SIGNATURE_KEY,)) + _entry(SIGNATURE_KEY, signature)


def _without(data: bytes, keys: tuple[str, ...]) -> bytes:
    view, parts, begin = memoryview(data), [], 0
    for start, end, key in _entries(view):
        if key in keys:
            parts.append(view[begin:start])
            begin = end
    return b"".join((*parts, view[begin:]))


def _entries(data: memoryview) -> list[tuple[int, int, str]]:
    """Return where each entry of `metadata_props` begins and ends, and its key."""
    found = []
    for number, value, start, end in spans(data):
        if number == METADATA:
            entry = dict(fields(message(value)))
            try:
                found.append((start, end, bytes(message(entry.get(1, 0))).decode()))
            except UnicodeDecodeError as error:
                raise BrokenError from error
    return found


def _entry(key: str, value: str) -> bytes:
    entry = encoded(1, key.encode()) + encoded(2, value.encode())
    return encoded(METADATA, entry)
