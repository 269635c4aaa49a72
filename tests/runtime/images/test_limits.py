import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_mri.errors import ImageSizeError, OptionError
from edge_mri.images import Frame, Limits
from edge_mri.images.pixels.limits import VARIABLES


def test_the_environment_sets_the_limits():
    values = {"PIXELS": 12, "BYTES": 34, "FRAMES": 5, "DECODED_BYTES": 6, "SECONDS": 7}
    variables = {f"EDGE_MRI_MAX_{name}": str(value) for name, value in values.items()}
    assert Limits.from_environment(variables) == Limits(12, 34, 5, 6, 7)
    assert Limits.from_environment({"EDGE_MRI_MAX_PIXELS": ""}) == Limits()


@pytest.mark.parametrize("value", ["0", "-1", "1e6", "ten", "²"])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(OptionError) as refusal:
        Limits.from_environment({"EDGE_MRI_MAX_BYTES": value})
    assert str(refusal.value) == (
        f"EDGE_MRI_MAX_BYTES is {value!r}; expected a whole number of 1 or more"
    )


@pytest.mark.parametrize(
    "values",
    [{"max_pixels": 0}, {"max_bytes": -1}, {"max_bytes": 1.5}, {"max_seconds": 0}],
)
def test_a_limit_below_one_is_refused(values):
    with pytest.raises(OptionError, match="expected a whole number of 1 or more"):
        Limits(**values)


def test_what_is_at_the_limit_passes_and_what_is_above_does_not():
    limits = Limits(max_pixels=24, max_bytes=10)
    limits.check_pixels(4, 6)
    limits.check_pixels(2, 3, 4)
    limits.check_bytes(10)
    with pytest.raises(ImageSizeError, match=r"5 x 5 pixels, the limit is 24 pixels"):
        limits.check_pixels(5, 5)
    with pytest.raises(ImageSizeError, match=r"5 x 5 x 2 pixels"):
        limits.check_pixels(5, 5, 2)
    with pytest.raises(ImageSizeError, match=r"11 bytes, the limit is 10 bytes"):
        limits.check_bytes(11)


def test_limits_reach_whoever_reads_without_any(monkeypatch):
    for name in VARIABLES.values():
        monkeypatch.setenv(name, "1")
    Limits(5, 6, 7, 8, 9).set_for_process()
    assert Limits.from_environment() == Limits(5, 6, 7, 8, 9)


def read(limits: Limits, frames: int, seconds_each: float = 0.0) -> tuple[int, str]:
    """How many of a file's frames are given, each 10 x 10, and why the rest is not."""

    def decoded() -> Iterator[Frame]:
        for number in range(1, frames + 1):
            until = time.thread_time() + seconds_each
            while time.thread_time() < until:
                pass
            yield Frame(np.zeros((10, 10), np.uint8), number)

    given = 0
    try:
        for _ in limits.within(decoded()):
            given += 1
    except ImageSizeError as error:
        return given, str(error)
    return given, ""


@pytest.mark.parametrize(
    ("limits", "frames", "said"),
    [
        (Limits(max_frames=3), 3, ""),
        (Limits(max_frames=3), 4, "more than 3 frames, the limit is 3 frames (--max-frames)"),
        (Limits(max_decoded_bytes=300), 3, ""),
        (
            Limits(max_decoded_bytes=399),
            4,
            "over 399 bytes of frames, the limit is 399 bytes (--max-decoded-bytes)",
        ),
    ],
)
def test_a_file_is_given_up_to_its_limit(limits, frames, said):
    assert read(limits, frames) == (3, said and f"image too large: {said}")


def test_a_file_that_takes_too_long_is_left_off():
    given, said = read(Limits(max_seconds=1), 100, seconds_each=0.3)
    assert given == 5  # the first is free
    assert said == "image too large: over 1 s to decode, the limit is 1 s (--max-seconds)"
    assert read(Limits(max_seconds=1), 2, seconds_each=1.2) == (2, "")  # nothing is left off


def test_real_volumes_are_within_the_limits():
    """Functional MR of 600 volumes, 64 x 64 x 36, and 1 mm of a whole head, in three planes."""
    fmri, head = 600 * (64 + 64 + 36), 3 * 256
    limits = Limits()
    assert max(fmri, head) <= limits.max_frames
    assert max(600 * 3 * 64 * 64 * 36, 3 * 256**3) <= limits.max_decoded_bytes
