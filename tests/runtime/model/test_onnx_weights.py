import hashlib
import struct
from dataclasses import replace

import pytest

from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.errors import WeightsError
from edge_mri.model.content_hash import HASH_KEY, _without
from edge_mri.model.onnx_file import OnnxFile
from edge_mri.model.onnx_weights import weights_sha256


def integer(number: int, value: int) -> bytes:
    """A field with a whole number below 128."""
    return bytes([number << 3, value])


def text(number: int, value: bytes) -> bytes:
    """A field with fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


MINUS_ONE = b"\xff" * 9 + b"\x01"
FLOATS = struct.pack("<2f", 1.5, -2)


@pytest.mark.parametrize(
    ("tensors", "hashed"),
    [
        ([], b""),
        (
            [text(1, b"\2") + integer(2, 1) + text(8, b"w") + text(9, FLOATS)],
            b"w\0FLOAT\x002\0" + FLOATS,
        ),
        (
            [text(1, b"\2") + integer(2, 1) + text(8, b"w") + text(4, FLOATS)],
            b"w\0FLOAT\x002\0" + FLOATS,
        ),
        ([integer(2, 3) + text(8, b"z") + text(5, MINUS_ONE)], b"z\0INT8\0\0\xff"),
        ([integer(2, 2) + text(8, b"z") + integer(5, 7)], b"z\0UINT8\0\0\7"),
        (
            [
                integer(1, 1)
                + integer(1, 2)
                + integer(2, 7)
                + text(8, b"n")
                + text(7, MINUS_ONE + b"\5")
            ],
            b"n\0INT64\x001,2\0" + struct.pack("<2q", -1, 5),
        ),
        (
            [
                integer(2, 3) + text(8, b"b") + text(9, b"\2"),
                integer(2, 3) + text(8, b"a") + text(9, b"\1"),
            ],
            b"a\0INT8\0\0\1" + b"b\0INT8\0\0\2",
        ),
    ],
)
def test_the_hash_is_over_names_types_shapes_and_values(tensors, hashed):
    found = weights_sha256(memoryview(tensor) for tensor in tensors)
    assert found == hashlib.sha256(hashed).hexdigest()


def test_what_cannot_be_hashed_is_not_judged():
    assert weights_sha256([memoryview(integer(2, 8) + text(8, b"s"))]) is None


def test_a_weight_that_changed_is_refused(tmp_path):
    path = tmp_path / "first.onnx"  # of the first version: a hash of the weights alone
    path.write_bytes(_without(SHIPPED_MODEL.read_bytes(), (HASH_KEY,)))
    file = OnnxFile.read(path)
    expected = weights_sha256(file.initialisers())
    replace(file, weights_sha256=expected).check()
    changed = bytearray(file.data)
    largest = bytes(max(file.initialisers(), key=len))
    changed[file.data.index(largest) + len(largest) - 1] ^= 1
    damaged = replace(file, data=bytes(changed), weights_sha256=expected)
    found = weights_sha256(damaged.initialisers())
    with pytest.raises(WeightsError) as refusal:
        damaged.check()
    assert str(refusal.value) == (
        f"{path} was edited or damaged after its export: its weights hash to "
        f"{found[:12]}…, its contract says {expected[:12]}…; copy the file anew, or export it again"
    )
