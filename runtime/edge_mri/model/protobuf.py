"""Protobuf's wire format: the fields of a message, without its schema."""

from collections.abc import Iterator

Value = int | memoryview


class BrokenError(ValueError):
    """The bytes are no protobuf message."""


def message(value: Value) -> memoryview:
    """Return a field's value as the bytes it must be."""
    if isinstance(value, int):
        raise BrokenError
    return value


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field: whole numbers, or the bytes of anything else."""
    for number, value, _, _ in spans(data):
        yield number, value


def spans(data: memoryview) -> Iterator[tuple[int, Value, int, int]]:
    """Yield each field as `fields` does, and where in the bytes it begins and ends."""
    position, end = 0, len(data)
    while position < end:
        start = position
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise BrokenError
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value, start, position
            continue
        if wire == 2:
            length, position = _varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise BrokenError
        if position + length > end:
            raise BrokenError
        yield number, data[position : position + length], start, position + length
        position += length


def encoded(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes."""
    return _encoded_varint(number << 3 | 2) + _encoded_varint(len(content)) + content


def integers(value: Value) -> Iterator[int]:
    """Yield the whole numbers of a repeated field, of which this is one, or several packed."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        number, position = _varint(value, position)
        yield number


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if position >= len(data):
            raise BrokenError
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise BrokenError


def _encoded_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
