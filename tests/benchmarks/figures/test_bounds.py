import pytest

from edge_mri_bench.figures.bounds import explain


def stages(inference, whole):
    names = {"decode": 0.3, "preprocess": 0.1, "inference_1": inference, "end_to_end": whole}
    return {name: {"min_ms": value, "median_ms": 9 * value} for name, value in names.items()}


@pytest.mark.parametrize(
    ("inference", "whole", "macs", "says"),
    [
        (1.0, 1.4, 80_000_000, "80 % of it is reached: bound by arithmetic"),
        (1.0, 1.4, 20_000_000, "20 % of it is reached: bound by something else than arithmetic"),
        (0.1, 0.5, 20_000_000, "decode takes 60 % of 0.50 ms"),
        (0.1, 2.5, 20_000_000, "a busy machine; not measured apart"),
        (1.0, 1.4, None, "inference takes 71 % of 1.40 ms"),
        (3.0, 1.4, 80_000_000, "its steps took 3.40 ms one by one, and 1.40 together"),
    ],
)
def test_the_report_claims_no_more_than_was_measured(inference, whole, macs, says):
    assert says in explain(stages(inference, whole), macs, peak_gmacs=100)


def test_a_file_is_held_to_the_peak_of_its_own_precision():
    text = explain(stages(1.0, 1.4), 30_000_000, 40, precision="fp32")
    assert "at this core's FP32 peak, 75 % of it is reached: bound by arithmetic" in text


def test_what_takes_the_time_of_inference_is_named():
    layers = {"depthwise convolutions": 0.6, "1x1 convolutions": 0.31, "Gemm": 0.09}
    text = explain(stages(1.0, 1.4), None, None, layers)
    assert text.endswith(
        "(depthwise convolutions 60 %, 1x1 convolutions 31 % of its kernels' time)"
    )
    assert "depthwise" not in explain(stages(0.1, 0.5), None, None, layers)
