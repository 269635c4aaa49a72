"""Whatever bytes a reader is given: what it returns is an image, what it raises an ImageError.

Files are built part by part here, with lengths and checksums that fit, so that what is wrong with
them is what they say; bytes that are merely damaged are `test_damage.py`.
"""

import struct
import zlib
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damaged_files import damaged
from damaged_files import whole_files as seeds
from edge_mri.errors import ImageError
from edge_mri.images import Limits, decode_frames, decode_image
from edge_mri.images.formats.deflated import inflated
from edge_mri.images.formats.headers import codestream_size, format_of
from edge_mri.images.formats.jpeg import end_of_image, ends_with_its_scan
from edge_mri.images.formats.png import still_png
from edge_mri.images.formats.tiff import pages
from edge_mri.images.formats.webp import still_webp
from edge_mri.images.reading import decode_stored

LIMITS = Limits(max_pixels=100_000, max_bytes=1_000_000)
SEEDS = [(name, data) for name, data in seeds() if not name.startswith("dicom JPEGLS")]
MUCH = settings(max_examples=500, deadline=5000, derandomize=True, database=None)

numbers = st.one_of(
    st.integers(0, 40),
    st.sampled_from(
        [2**bits + more for bits in (7, 8, 15, 16, 31, 32, 62, 63) for more in (-1, 0)]
    ),
    st.integers(0, 2**64 - 1),
)
payloads = st.one_of(st.binary(max_size=40), numbers.map(lambda value: struct.pack(">Q", value)))


def number(form: str, value: int) -> bytes:
    return struct.pack(form, value % 256 ** struct.calcsize(form))


@st.composite
def tiffs(draw: st.DrawFn) -> bytes:
    """Directories at any place, in any order, with any tags of any type."""
    order, big = draw(st.sampled_from("<>")), draw(st.booleans())
    link, count, values = ("Q", "Q", "Q") if big else ("I", "H", "I")
    data = (b"II" if order == "<" else b"MM") + number(order + "H", 43 if big else 42)
    data += struct.pack(order + "HH", 8, 0) if big else b""
    directory = len(data) + struct.calcsize(order + link)
    data += number(order + link, draw(st.one_of(st.just(directory), numbers)))
    tag = st.one_of(st.sampled_from([254, 256, 257, 258, 259, 262, 273, 277, 279, 338]), numbers)
    for _ in range(draw(st.integers(0, 3))):
        entries = draw(st.lists(st.tuples(tag, st.integers(0, 20), numbers, numbers), max_size=12))
        said = draw(st.one_of(st.just(len(entries)), numbers))
        data += number(order + count, said)
        for name, kind, length, value in entries:
            data += number(order + "H", name) + number(order + "H", kind)
            data += number(order + values, length) + number(order + values, value)
        following = len(data) + struct.calcsize(order + link)
        data += number(order + link, draw(st.one_of(st.just(0), st.just(following), numbers)))
    return data + draw(payloads)


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """Chunks of any kind in any order, all with their right checksum."""
    name = st.sampled_from(
        [b"IHDR", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"sBIT", b"tRNS", b"PLTE", b"eXIf", b"IEND"]
    )
    rows = st.binary(max_size=200).map(zlib.compress)
    header = st.builds(
        lambda width, height, rest: number(">I", width) + number(">I", height) + bytes(rest),
        st.integers(0, 12),
        st.integers(0, 12),
        st.tuples(st.sampled_from([1, 8, 16]), st.sampled_from([0, 2, 3, 6]), *[st.just(0)] * 3),
    )
    chunks = draw(st.lists(st.tuples(name, st.one_of(payloads, rows, header)), max_size=8))
    if draw(st.booleans()):
        chunks = [(b"IHDR", draw(header)), *chunks, (b"IDAT", draw(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@st.composite
def webps(draw: st.DrawFn) -> bytes:
    """Chunks in any order, frames of an animation among them."""

    def riff(parts: list[tuple[bytes, bytes]]) -> bytes:
        return b"".join(
            name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
            for name, body in parts
        )

    whole = dict(SEEDS)["webp"][20:]
    name = st.sampled_from([b"VP8 ", b"VP8L", b"ALPH", b"EXIF", b"ANIM", b"ANMF", b"VP8X"])
    body = st.one_of(payloads, st.just(whole))
    sides = st.sampled_from([0, 1, 2, 95, 2**24 - 1]).map(lambda side: number("<I", side)[:3])
    head = st.lists(sides, min_size=4, max_size=4).map(b"".join)
    frame = st.builds(
        lambda head, parts: head + bytes(4) + riff(parts),
        head,
        st.lists(st.tuples(name, body), max_size=3),
    )
    parts = draw(st.lists(st.tuples(name, st.one_of(body, frame)), max_size=5))
    if draw(st.booleans()):
        said = bytes([draw(st.integers(0, 255)), 0, 0, 0]) + draw(head)[:6]
        parts = [(b"VP8X", said), (b"ANMF", draw(frame)), *parts]
    data = riff(parts)
    return b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data


@st.composite
def jpegs(draw: st.DrawFn) -> bytes:
    """Segments of any kind, whose lengths may be wrong, and data that look like a scan."""
    data = b"\xff\xd8"
    for _ in range(draw(st.integers(0, 6))):
        marker = draw(
            st.one_of(st.sampled_from([0xC0, 0xC2, 0xC4, 0xDA, 0xD9, 0xE1, 0xFF]), bytes_)
        )
        body = draw(payloads)
        length = draw(st.one_of(st.just(len(body) + 2), numbers))
        data += bytes([0xFF, marker]) + number(">H", length) + body
    return data + draw(payloads) + draw(st.sampled_from([b"", b"\xff", b"\xff\xd9", b"\xff\xd9\0"]))


bytes_ = st.integers(0, 255)
bmps = st.builds(
    lambda start, size, sides, rest, data: (
        b"BM"
        + bytes(8)
        + b"".join(number("<I", value) for value in (start, size, *sides))
        + rest
        + data
    ),
    st.one_of(st.sampled_from([26, 54, 70, 138]), numbers),
    st.one_of(st.sampled_from([12, 36, 40, 64, 108, 124]), numbers),
    st.tuples(numbers, numbers),
    st.builds(
        lambda bits, way: struct.pack("<HHI", 1, bits, way) + bytes(20),
        st.sampled_from([0, 1, 4, 8, 15, 16, 24, 32]),
        st.sampled_from([0, 1, 2, 3, 9]),
    ),
    st.binary(max_size=300),
)
dicoms = st.builds(
    lambda preamble, meta, elements: preamble + meta + b"".join(elements),
    st.sampled_from([b"", bytes(128) + b"DICM"]),
    st.sampled_from(
        [b"", b"\x02\0\0\0UL\x04\0\x1e\0\0\0\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"]
    ),
    st.lists(
        st.builds(
            lambda group, kind, length, value: group + kind + number("<H", length) + value,
            st.sampled_from([b"\x08\0\x16\0", b"\x28\0\x10\0", b"\x28\0\x11\0", b"\xe0\x7f\x10\0"]),
            st.sampled_from([b"UI", b"US", b"OW", b"SQ", b"DS", b"\xff\xff", b"\0\0"]),
            numbers,
            payloads,
        ),
        max_size=6,
    ),
)
niftis = st.builds(
    lambda size, shape, kind, offset, magic, data: (
        number("<I", size)
        + bytes(36)
        + b"".join(number("<H", side) for side in shape)
        + bytes(14)
        + struct.pack("<HHH", kind, 8, 0)
        + bytes(32)
        + struct.pack("<f", offset)
        + bytes(232)
        + magic
        + bytes(4)
        + data
    ),
    st.one_of(st.just(348), numbers),
    st.lists(numbers, min_size=8, max_size=8),
    st.sampled_from([0, 1, 2, 4, 16, 32, 128, 512, 1792]),
    st.floats(width=32),
    st.sampled_from([b"n+1\0", b"ni1\0"]),
    st.binary(max_size=64),
)

built = st.one_of(tiffs(), pngs(), webps(), jpegs(), bmps, dicoms, niftis)
any_bytes = st.one_of(built, st.tuples(built, st.integers(0, 300)).map(lambda it: it[0][: it[1]]))

READERS = {
    "frames": lambda data: list(decode_frames(data, LIMITS)),
    "image": lambda data: decode_image(data, LIMITS, 4),
    "stored": lambda data: decode_stored(data, LIMITS),
    "format": format_of,
    "codestream": codestream_size,
    "deflated": lambda data: inflated(data, LIMITS),
    "jpeg": ends_with_its_scan,
    "jpeg end": end_of_image,
    "png": still_png,
    "webp": still_webp,
    "tiff": lambda data: [page.number for page in pages(data, LIMITS)],
}


def read(reader: str, data: bytes) -> None:
    """Read; anything but an ImageError goes through to the test."""
    with suppress(ImageError):
        READERS[reader](data)


@MUCH
@given(any_bytes)
def test_a_reader_raises_image_errors_alone(data):
    for reader in READERS:
        read(reader, data)


@MUCH
@given(st.integers(0, 2**32), st.sampled_from(sorted(READERS)))
def test_so_does_every_reader_of_a_damaged_file(seed, reader):
    read(reader, damaged(SEEDS, seed, 0)[1])


@pytest.mark.skipif(not find_spec("pydicom"), reason="reads a DICOMDIR with pydicom")
@settings(MUCH, max_examples=200)
@given(st.one_of(dicoms, st.binary(max_size=300), st.integers(0, 2**32)))
def test_so_does_a_dicomdir(tmp_path_factory, content):
    import pydicom

    from edge_mri.images.dicomdir import referenced_files

    path = tmp_path_factory.getbasetemp() / "DICOMDIR"
    if isinstance(content, int):
        folder = pydicom.__path__[0]
        whole = (Path(folder) / "data/test_files/dicomdirtests/DICOMDIR").read_bytes()
        content = damaged([("dicom", whole)] * 17, content, 0)[1]
    path.write_bytes(content)
    with suppress(ImageError):
        assert all(one.is_relative_to(path.parent) for one in referenced_files(path))


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_a_tiff_whose_first_page_is_far_outside_is_cut_off(offset):
    data = b"II+\0\x08\0\0\0" + struct.pack("<Q", offset) + bytes(16)
    with pytest.raises(ImageError) as refusal:
        decode_image(data)
    assert str(refusal.value) == "the TIFF is cut off: page 1 is outside it"


def test_a_tiff_of_a_side_with_a_sign_is_held_to_the_limit():
    """libtiff takes a side from any whole number; what is not counted would not be limited."""
    entries = [
        (256, 9, 60_000),
        (257, 9, 60_000),
        (258, 4, 8),
        (262, 4, 1),
        (273, 4, 8),
        (279, 4, 9),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    with pytest.raises(ImageError, match=r"60,000 x 60,000 pixels, the limit is"):
        decode_image(b"II*\0\x08\0\0\0" + directory + bytes(4))


def test_directories_that_share_their_bytes_are_refused():
    """Or a small file could have a hundred thousand large ones."""
    entry = struct.pack("<HHII", 256, 4, 1, 1)
    first = struct.pack("<H", 8) + entry * 8 + struct.pack("<I", 8 + 12)
    data = bytearray(b"II*\0\x08\0\0\0" + first)
    struct.pack_into("<H", data, 8 + 12, 5)
    struct.pack_into("<I", data, 8 + 12 + 2 + 60, 8 + 24)
    struct.pack_into("<H", data, 8 + 24, 5)
    with pytest.raises(ImageError) as refusal:
        list(pages(bytes(data), Limits()))
    assert str(refusal.value) == "the TIFF is damaged: its pages' directories overlap"


def test_seeds_hold_what_the_formats_have():
    assert {format_of(data) for _, data in seeds()} >= {"jpeg", "png", "tiff", "bmp", "webp"}
    assert np.unique([name for name, _ in seeds()]).size == len(seeds())
