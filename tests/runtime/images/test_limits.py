import pytest

from edge_mri.errors import ImageSizeError, OptionError
from edge_mri.images import Limits


def test_the_environment_sets_the_limits():
    found = Limits.from_environment({"EDGE_MRI_MAX_PIXELS": "12", "EDGE_MRI_MAX_BYTES": "34"})
    assert found == Limits(12, 34)
    assert Limits.from_environment({"EDGE_MRI_MAX_PIXELS": ""}) == Limits()


@pytest.mark.parametrize("value", ["0", "-1", "1e6", "ten", "²"])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(OptionError) as refusal:
        Limits.from_environment({"EDGE_MRI_MAX_BYTES": value})
    assert str(refusal.value) == (
        f"EDGE_MRI_MAX_BYTES is {value!r}; expected a whole number of 1 or more"
    )


@pytest.mark.parametrize("values", [{"max_pixels": 0}, {"max_bytes": -1}, {"max_bytes": 1.5}])
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
    monkeypatch.setenv("EDGE_MRI_MAX_PIXELS", "1")
    monkeypatch.setenv("EDGE_MRI_MAX_BYTES", "1")
    Limits(5, 6).set_for_process()
    assert Limits.from_environment() == Limits(5, 6)
