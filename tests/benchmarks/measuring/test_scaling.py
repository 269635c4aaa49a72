import pytest

from edge_mri.classifier import SHIPPED_MODEL, Classifier
from edge_mri.terminal.progress import NoProgress
from edge_mri_bench.backends.onnx_runtime import RuntimeBackend
from edge_mri_bench.measuring import scaling
from edge_mri_bench.measuring.sweep import by_network


@pytest.fixture(scope="module")
def backend():
    return RuntimeBackend(SHIPPED_MODEL)


def test_cost_by_resolution_has_the_decode_beside_it(backend, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "RESOLUTIONS_PX", (32, 512))
    rows = []
    scaling.by_resolution(backend, tmp_path, 2, 2, lambda: None, rows)
    small, large = rows
    assert (small["size_px"], large["size_px"]) == (32, 512)
    assert large["grey_decode_ms"]["min_ms"] > 5 * small["grey_decode_ms"]["min_ms"]
    assert large["end_to_end_ms"]["min_ms"] > large["grey_decode_ms"]["min_ms"]


def test_a_folder_that_would_take_too_long_is_left_out_and_told(tmp_path, phantoms):
    files = sorted(phantoms.glob("*/*.png"))[:2]
    rows = []
    left_out = scaling.by_images(
        SHIPPED_MODEL, files, (3, 1_000_000), tmp_path, NoProgress(), limit_s=5, rows=rows
    )
    assert [row["images"] for row in rows] == [3]
    (reason,) = left_out
    assert reason.startswith("a folder of 1,000,000 images: it would take about ")
    assert reason.endswith(" s, the cap of this effort is 5 s")


def test_cost_by_threads_stops_at_the_most(backend, phantoms):
    files = sorted(phantoms.glob("*/*.png"))[:4]
    rows = scaling.by_threads(backend, files, 1, 1)
    assert [row["threads"] for row in rows] == [1]
    assert rows[0]["per_image_ms"]["n"] == 1


def test_networks_are_exported_and_those_that_cannot_be_are_named():
    rows, missing = by_network([("artemis_cnn", 80), ("artemis_cnn", 48)], 1, 1, NoProgress())
    (row,) = rows
    assert (row["network"], row["size_px"]) == ("artemis_cnn", 80)
    assert row["macs"] > 1e5
    assert row["bytes"] > 1000
    assert row["fp32_ms"]["n"] == row["int8_ms"]["n"] == 1
    (reason,) = missing
    assert reason.startswith("artemis_cnn@48: artemis_cnn cannot be built for 48 px images")


def test_the_model_that_ships_is_what_is_measured(backend):
    assert backend.spec == Classifier.load(device="cpu").contract.preprocess
