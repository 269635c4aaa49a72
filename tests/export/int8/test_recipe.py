import pytest

from edge_mri.errors import OptionError
from edge_mri_export.int8.recipe import QuantizationConfig


@pytest.mark.parametrize("precision", ["fp16", "none"])
@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--target", {"target": "portable"}),
        ("--calibration-method", {"method": "minmax"}),
        ("--calibration-samples", {"samples": 400}),
        ("--exclude", {"exclude": ("node",)}),
    ],
)
def test_what_is_for_int8_is_refused_elsewhere(precision, option, values):
    with pytest.raises(OptionError) as caught:
        QuantizationConfig(precision, **values)
    assert str(caught.value) == (
        f"{option} is for INT8, and --quantize is {precision}; leave it out, or use "
        "--quantize int8 or int8-qat"
    )
    QuantizationConfig("int8-qat", **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("int4",), "--quantize is 'int4'; expected one of none, int8, int8-qat, fp16"),
        (("int8", "avx2"), "--target is 'avx2'; expected one of portable, avx512-vnni, arm64"),
        (
            ("int8", None, "best"),
            "--calibration-method is 'best'; expected one of "
            "auto, minmax, percentile, entropy, mse",
        ),
    ],
)
def test_unknown_names_are_refused(values, message):
    with pytest.raises(OptionError) as caught:
        QuantizationConfig(*values)
    assert str(caught.value) == message
