import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_mri_train.data.inventory import FileFacts, read_facts


def encoded(format_: str, mode: str = "L", size: tuple[int, int] = (20, 12), **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 1).save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format_", ["BMP", "JPEG", "PNG", "TIFF", "WEBP"])
def test_formats_and_sizes(format_):
    data = encoded(format_)
    facts = read_facts(data)
    assert (facts.format, facts.width_px, facts.height_px) == (format_, 20, 12)
    assert facts.size_bytes == len(data)
    assert (facts.jpeg_quantization > 0) == (format_ == "JPEG")


@pytest.mark.parametrize(
    ("mode", "channels", "depth"),
    [("1", 1, 1), ("L", 1, 8), ("P", 1, 8), ("LA", 2, 8), ("RGB", 3, 8), ("RGBA", 4, 8),
     ("I;16", 1, 16)],
)  # fmt: skip
def test_channels_and_depths(mode, channels, depth):
    facts = read_facts(encoded("PNG", mode))
    assert (facts.channels, facts.bit_depth) == (channels, depth)


@pytest.mark.parametrize(("channels", "suffix"), [(1, ".png"), (3, ".png"), (4, ".png")])
def test_16_bit_images_are_16_bit_in_grey_and_in_colour(channels, suffix):
    shape = (12, 20) if channels == 1 else (12, 20, channels)
    facts = read_facts(cv2.imencode(suffix, np.full(shape, 40_000, np.uint16))[1].tobytes())
    assert (facts.channels, facts.bit_depth) == (channels, 16)


def test_the_tables_of_a_jpeg_fall_with_its_quality():
    image = Image.effect_noise((64, 64), 40)
    means = []
    for quality in (20, 50, 75, 90, 98):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        means.append(read_facts(buffer.getvalue()).jpeg_quantization)
    assert means == sorted(means, reverse=True)
    assert len(set(means)) == 5


def test_grey_and_colour_jpegs_are_told_apart():
    assert [read_facts(encoded("JPEG", mode)).channels for mode in ("L", "RGB", "CMYK")] == [
        1,
        3,
        4,
    ]


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff", encoded("PNG")[:20]])
def test_what_pillow_does_not_know_has_no_format(data):
    assert read_facts(data) == FileFacts("unknown", 0, 0, 0, 0, len(data))


SEEDS = [encoded(one) for one in ("BMP", "JPEG", "PNG", "TIFF", "WEBP")]


@pytest.mark.filterwarnings("ignore")  # as in a scan: Pillow warns of what is damaged
@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_header_never_raises(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        position = draw.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = draw.draw(st.integers(0, 255))
    assert read_facts(bytes(damaged)).size_bytes == len(damaged)
