import random
import struct
import zlib
from itertools import pairwise

from damaged_files import damaged, whole_files
from edge_mri.images.formats.headers import format_of
from structural_damage import damage_structure

FILES = whole_files()


def test_seed_and_number_give_a_case_again():
    cases = [damaged(FILES, 3, number) for number in range(40)]
    assert cases == [damaged(whole_files(), 3, number) for number in range(40)]
    assert all(first != second for first, second in pairwise(cases))


def test_damaged_parts_keep_their_checksums():
    """So that a decoder's own check does not hide what comes behind it."""
    whole = dict(FILES)["png"]
    changed = 0
    for seed in range(100):
        data = damage_structure(whole, random.Random(seed))
        changed += data != whole
        position = 8
        while position < len(data):
            length, name = struct.unpack_from(">I4s", data, position)
            body = data[position + 8 : position + 8 + length]
            (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
            assert checksum == zlib.crc32(name + body)
            position += length + 12
    assert changed > 80


def test_every_picture_format_has_parts_to_damage():
    for name, whole in FILES:
        if format_of(whole) in ("png", "webp", "jpeg", "tiff", "bmp"):
            found = {damage_structure(whole, random.Random(seed)) for seed in range(30)}
            assert len(found) > 5, name
