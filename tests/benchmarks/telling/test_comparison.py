from copy import deepcopy

import pytest

from edge_mri_bench.telling.comparison import compare


def scaled(record, factor, width=0.01):
    """The same record, with the ratios of the INT8 file end to end changed."""
    changed = deepcopy(record)
    for one in changed["ratios"]:
        if one["row"].endswith("ort-int8"):
            one["ratio"] *= factor
            one["ci95"] = [one["ratio"] * (1 - width), one["ratio"] * (1 + width)]
    return changed


@pytest.mark.parametrize(
    ("factor", "width", "verdict"),
    [
        (0.8, 0.01, "slower"),
        (1.3, 0.01, "faster"),
        (0.95, 0.01, "same"),  # sure, but too little to call
        (0.8, 0.3, "unclear"),  # enough, but not sure
    ],
)
def test_a_change_is_called_when_it_is_sure_and_large(record, factor, width, verdict):
    before, now = scaled(record, 1, width), scaled(record, factor, width)
    found = compare(now, before)["ratios"]
    assert found
    assert {one["verdict"] for one in found if one["row"].endswith("ort-int8")} == {verdict}
    changes = [one["change"] for one in found if one["row"].endswith("ort-int8")]
    assert changes == pytest.approx([factor - 1] * len(changes))


def test_on_the_same_machine_absolute_times_are_compared(record):
    before = deepcopy(record)
    for row in before["rows"]:
        row["stages"]["end_to_end"]["median_ms"] *= 2
    compared = compare(record, before)
    assert compared["refused"] is None
    assert {one["change"] for one in compared["absolute"] if one["stage"] == "end_to_end"} == {-0.5}


def test_another_machine_compares_ratios_alone(record):
    before = deepcopy(record)
    before["machine"] |= {"fingerprint": "another", "cpu": "Other CPU", "usable_cores": 4}
    compared = compare(record, before)
    assert compared["refused"].startswith(
        "the baseline is from another machine (Other CPU, 4 cores"
    )
    assert compared["absolute"] == []
    assert compared["ratios"]


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        ("images", {"sha256": "other"}, "the baseline timed other images"),
        ("settings", {"threads": 9}, "the baseline ran on another number of threads"),
    ],
)
def test_other_conditions_compare_ratios_alone(record, part, values, reason):
    before = deepcopy(record)
    before[part] |= values
    assert compare(record, before)["refused"] == reason


def test_a_partial_baseline_compares_ratios_alone(record):
    assert compare(record, record | {"status": "partial"})["refused"].endswith("is partial")


def test_rows_without_a_partner_are_named(record):
    before = deepcopy(record)
    gone = before["rows"].pop()["row"]
    compared = compare(record, before)
    assert (compared["only_now"], compared["only_before"]) == ([gone], [])
