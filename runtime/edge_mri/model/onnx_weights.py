"""The hash of a model file's weights, without the onnx package.

The same value as `edge_mri_export.graph.weights` computes: over the initialisers in the order of
their names, each as name, element type, shape and values as little-endian bytes. By it a file that
was damaged or edited after its export is noticed.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from edge_mri.model.protobuf import Value, fields, integers

# Of the TensorProto message: element types by number, with the NumPy type of their values.
_TYPES = {
    1: ("FLOAT", "<f4"),
    2: ("UINT8", "<u1"),
    3: ("INT8", "<i1"),
    4: ("UINT16", "<u2"),
    5: ("INT16", "<i2"),
    6: ("INT32", "<i4"),
    7: ("INT64", "<i8"),
    9: ("BOOL", "<u1"),
    10: ("FLOAT16", "<u2"),
    11: ("DOUBLE", "<f8"),
    12: ("UINT32", "<u4"),
    13: ("UINT64", "<u8"),
    16: ("BFLOAT16", "<u2"),
}
_DIMS, _TYPE, _FLOATS, _INT32S, _INT64S, _NAME, _RAW, _DOUBLES, _UINT64S = (
    1,
    2,
    4,
    5,
    7,
    8,
    9,
    10,
    11,
)


def weights_sha256(tensors: Iterable[memoryview]) -> str | None:
    """Return the hash of a graph's initialisers, given as TensorProto messages.

    None where one of them is of a type that is not hashed here.
    """
    parts = []
    for tensor in tensors:
        part = _part(list(fields(tensor)))
        if part is None:
            return None
        parts.append(part)
    digest = hashlib.sha256()
    for name, kind, shape, values in sorted(parts, key=lambda part: part[0]):
        digest.update(f"{name}\0{kind}\0{shape}\0".encode())
        digest.update(values)
    return digest.hexdigest()


def _part(tensor: list[tuple[int, Value]]) -> tuple[str, str, str, bytes | memoryview] | None:
    name, kind, dtype = "", "", ""
    raw: bytes | memoryview | None = None
    shape: list[int] = []
    numbers: list[int] = []
    for number, value in tensor:
        if number == _NAME and not isinstance(value, int):
            name = bytes(value).decode()
        elif number == _TYPE and isinstance(value, int):
            if value not in _TYPES:
                return None
            kind, dtype = _TYPES[value]
        elif number == _DIMS:
            shape.extend(integers(value))
        elif number in (_RAW, _FLOATS, _DOUBLES) and not isinstance(value, int):
            raw = value if raw is None else bytes(raw) + bytes(value)
        elif number in (_INT32S, _INT64S, _UINT64S):
            numbers.extend(integers(value))
    if raw is None:
        raw = np.array(list(_wrapped(numbers)), np.uint64).astype(dtype).tobytes()
    return name, kind, ",".join(map(str, shape)), raw


def _wrapped(numbers: list[int]) -> Iterator[int]:
    """Negative numbers come as 64 bits; narrower types keep their lower bits."""
    return (number & 0xFFFF_FFFF_FFFF_FFFF for number in numbers)
