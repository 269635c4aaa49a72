from pathlib import Path

from edge_mri_bench.energy import EnergyMeter


def counters(root: Path, **packages: tuple[int, int]) -> Path:
    for number, (value, limit) in enumerate(packages.values()):
        zone = root / f"intel-rapl:{number}"
        zone.mkdir(exist_ok=True)
        (zone / "energy_uj").write_text(f"{value}\n")
        (zone / "max_energy_range_uj").write_text(f"{limit}\n")
    (root / "intel-rapl:0:0").mkdir(exist_ok=True)  # a core inside a package would count twice
    return root


def test_packages_add_up_and_a_counter_that_wrapped_is_right(tmp_path):
    meter = EnergyMeter(counters(tmp_path, a=(1_000_000, 9_999_999), b=(9_000_000, 9_999_999)))
    before = meter.read()
    counters(tmp_path, a=(3_000_000, 9_999_999), b=(500_000, 9_999_999))
    assert meter.joules_since(before) == 2.0 + 1.5


def test_a_machine_without_counters_says_so(tmp_path):
    meter = EnergyMeter(tmp_path)
    assert meter.reason == "this machine shows no energy counters"
    assert meter.joules_since(meter.read()) is None


def test_a_counter_that_is_no_number_is_told(tmp_path):
    root = counters(tmp_path, a=(1, 9))
    (root / "intel-rapl:0" / "energy_uj").write_text("nonsense")
    assert "cannot be read" in EnergyMeter(root).reason
