"""Damage that a format's own checks do not see: what its parts say is wrong, their form is right.

Chunks, segments, tags and header fields are changed, moved, doubled or left out; lengths and
checksums are written anew, so that the file is still walked through to its end. Damage to bytes,
whatever they mean, is `damaged_files`.
"""

import random
import struct
import zlib
from collections.abc import Callable

ODD_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 60_000, 0x7FFFFFFF, 0xFFFFFFFF)
_PNG_START = 8
_RIFF_START = 12
_Parts = list[tuple[bytes, bytes]]


def damage_structure(data: bytes, rng: random.Random) -> bytes:
    """Return a file with damaged parts; one of a format that is not known here as it is."""
    for start, damage in _DAMAGES.items():
        if data.startswith(start):
            try:
                return damage(data, rng)
            except (struct.error, IndexError, ValueError, zlib.error):
                return data  # damaged so much already that it has no parts
    return data


def _damage_png(data: bytes, rng: random.Random) -> bytes:
    parts: _Parts = []
    position = _PNG_START
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        parts.append((name, data[position + 8 : position + 8 + length]))
        position += length + 12
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.4:
            _damage_pixels(parts, rng)
        else:
            _damage_parts(parts, rng, (b"acTL", b"fcTL", b"fdAT", b"IDAT", b"tRNS", b"PLTE"))
    written = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return data[:_PNG_START] + b"".join(written)


def _damage_pixels(parts: _Parts, rng: random.Random) -> None:
    """Deflate other rows than the header says: fewer, more, or others, in one chunk or many."""
    places = [index for index, (name, _) in enumerate(parts) if name in (b"IDAT", b"fdAT")]
    index = rng.choice(places)
    name, body = parts[index]
    head = 4 if name == b"fdAT" else 0
    try:
        rows = bytearray(zlib.decompressobj().decompress(body[head:]))
    except zlib.error:
        rows = bytearray(body[head:])
    how = rng.randrange(4)
    if how == 0:
        del rows[rng.randrange(len(rows) + 1) :]
    elif how == 1:
        rows += bytes(rng.choice((1, 100, 10_000)))
    else:
        for _ in range(rng.choice((1, 10, 100))):
            rows[rng.randrange(len(rows))] = rng.randrange(256)
    deflated = bytearray(zlib.compress(rows))
    if how == 3:
        deflated[rng.randrange(len(deflated))] ^= 1 << rng.randrange(8)
    parts[index] = (name, body[:head] + deflated)
    if rng.random() < 0.3 and name == b"IDAT":
        cut = rng.randrange(len(deflated))
        parts[index : index + 1] = [(name, bytes(deflated[:cut])), (name, bytes(deflated[cut:]))]


def _damage_webp(data: bytes, rng: random.Random) -> bytes:
    parts = _riff_parts(data, _RIFF_START)
    for _ in range(rng.choice((1, 1, 2, 4))):
        frames = [index for index, (name, _) in enumerate(parts) if name == b"ANMF"]
        if frames and rng.random() < 0.6:  # what is within a frame
            index = rng.choice(frames)
            body = parts[index][1]
            inner = _riff_parts(body, 16)
            head = bytearray(body[:16])
            if rng.random() < 0.4:
                head[rng.randrange(16)] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
            else:
                _damage_parts(inner, rng, (b"VP8 ", b"VP8L", b"ALPH", b"EXIF"))
            parts[index] = (b"ANMF", bytes(head) + _riff(inner))
        else:
            _damage_parts(parts, rng, (b"ANMF", b"ANIM", b"VP8X", b"VP8 ", b"VP8L", b"ALPH"))
    body = _riff(parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _riff_parts(data: bytes, start: int) -> _Parts:
    parts: _Parts = []
    while start + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, start)
        parts.append((name, data[start + 8 : start + 8 + length]))
        start += 8 + length + length % 2
    return parts


def _riff(parts: _Parts) -> bytes:
    return b"".join(
        name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in parts
    )


def _damage_jpeg(data: bytes, rng: random.Random) -> bytes:
    parts: _Parts = []
    position = 2
    while data[position + 1] != 0xDA:
        marker, length = struct.unpack_from(">2sH", data, position)
        parts.append((marker, data[position + 4 : position + 2 + length]))
        position += 2 + length
    scans = bytearray(data[position:])
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.3:
            place = rng.randrange(len(scans))
            scans[place : place + 2] = rng.choice(
                (b"\xff\xd0", b"\xff\xd7", b"\xff\xdc", b"\xff\xda", b"\xff\xc4", b"\xff\xff", b"")
            )
        else:
            _damage_parts(parts, rng, (b"\xff\xdd", b"\xff\xc2", b"\xff\xc9", b"\xff\xc4"))
    headers = [
        marker + struct.pack(">H", len(body[:65_533]) + 2) + body[:65_533] for marker, body in parts
    ]
    return data[:2] + b"".join(headers) + bytes(scans)


def _damage_tiff(data: bytes, rng: random.Random) -> bytes:
    """Change the entries of one directory: tags, types, counts, values."""
    changed = bytearray(data)
    offset = struct.unpack_from("<I", data, 4)[0]
    for _ in range(rng.choice((0, 0, 0, 1, 2))):  # to a later page
        entries = struct.unpack_from("<H", data, offset)[0]
        offset = struct.unpack_from("<I", data, offset + 2 + 12 * entries)[0] or offset
    entries = struct.unpack_from("<H", data, offset)[0]
    for _ in range(rng.choice((1, 1, 2, 4))):
        entry = offset + 2 + 12 * rng.randrange(entries)
        what = rng.randrange(5)
        small = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, rng.randrange(65_536)))
        if what == 0:
            tags = (254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 324)
            struct.pack_into(
                "<H", changed, entry, rng.choice((*tags, 325, 330, 338, 339, 347, 530))
            )
        elif what == 1:
            struct.pack_into("<H", changed, entry + 2, rng.randrange(19))
        elif what == 2:
            struct.pack_into("<I", changed, entry + 4, rng.choice((*ODD_NUMBERS, small)))
        else:
            struct.pack_into("<I", changed, entry + 8, rng.choice((*ODD_NUMBERS, small, small)))
    return bytes(changed)


def _damage_bmp(data: bytes, rng: random.Random) -> bytes:
    """Change the fields of the header, and the codes of run lengths behind it."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.3 and len(changed) > 80:
            changed[rng.randrange(54, len(changed))] = rng.choice((0, 1, 2, 3, 0x7F, 0xFF))
            continue
        place, kind = rng.choice(
            ((10, "I"), (14, "I"), (18, "i"), (22, "i"), (26, "H"), (28, "H"), (30, "I"), (46, "I"))
        )
        small = (0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 54, 64, 96, 124, 256)
        value = rng.choice((*small, *ODD_NUMBERS)) & (256 ** struct.calcsize(kind) - 1)
        struct.pack_into("<" + kind.upper(), changed, place, value)
    return bytes(changed)


def _damage_parts(parts: _Parts, rng: random.Random, names: tuple[bytes, ...]) -> None:
    index = rng.randrange(len(parts))
    name, body = parts[index]
    what = rng.randrange(8)
    if what == 0:
        del parts[index]
    elif what == 1:
        parts.insert(rng.randrange(len(parts) + 1), parts[index])
    elif what == 2:
        parts.insert(rng.randrange(len(parts)), parts.pop(index))
    elif what == 3:
        parts[index] = (rng.choice(names), body)
    elif what == 4:
        parts[index] = (name, body[: rng.randrange(len(body) + 1)])
    elif what == 5 and len(body) >= 4:
        place = 4 * rng.randrange(min(len(body), 64) // 4)
        number = struct.pack(rng.choice("<>") + "I", rng.choice(ODD_NUMBERS))
        parts[index] = (name, body[:place] + number + body[place + 4 :])
    elif body:
        changed = bytearray(body)
        for _ in range(rng.choice((1, 1, 3, 30))):
            changed[rng.randrange(min(len(body), rng.choice((16, 1 << 20))))] = rng.randrange(256)
        parts[index] = (name, bytes(changed))


_DAMAGES: dict[bytes, Callable[[bytes, random.Random], bytes]] = {
    b"\x89PNG": _damage_png,
    b"RIFF": _damage_webp,
    b"\xff\xd8": _damage_jpeg,
    b"II*\0": _damage_tiff,
    b"BM": _damage_bmp,
}
