from pathlib import Path

import pytest

from edge_mri_bench.measuring.energy import EnergyMeter
from edge_mri_bench.measuring.throughput import time_folders


def counters(root: Path, **packages: tuple[int, int]) -> Path:
    for number, (name, (value, limit)) in enumerate(packages.items()):
        zone = root / f"intel-rapl:{number}"
        zone.mkdir(exist_ok=True)
        (zone / "name").write_text("psys\n" if name == "psys" else f"package-{number}\n")
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


def test_the_whole_board_is_not_counted_beside_its_package(tmp_path):
    meter = EnergyMeter(counters(tmp_path, a=(0, 9_999_999), psys=(0, 9_999_999)))
    before = meter.read()
    counters(tmp_path, a=(2_000_000, 9_999_999), psys=(5_000_000, 9_999_999))
    assert meter.joules_since(before) == 2.0


class Burner:
    """A backend whose images cost 2 J each."""

    def __init__(self, root: Path) -> None:
        self.root, self.spent = root, 0

    def stream(self, files, workers):
        for file in files:
            self.spent += 2_000_000
            counters(self.root, a=(self.spent, 10**12))
            yield file


def test_a_folder_tells_its_images_per_joule(tmp_path):
    meter = EnergyMeter(counters(tmp_path, a=(0, 10**12)))
    done = time_folders({"row": Burner(tmp_path)}, [tmp_path] * 6, [1], 2, meter=meter)
    assert done.images_per_joule == {("row", 1): 0.5}


def refused(path, *arguments, **options):
    if path.name == "energy_uj":
        raise PermissionError(13, "Permission denied", str(path))
    return path.read_bytes().decode()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("nonsense", "the energy counters cannot be read: invalid literal"),
        ("not ours", "the energy counters may only be read by root"),
    ],
)
def test_counters_that_cannot_be_read_cost_the_figure_and_not_the_run(
    tmp_path, monkeypatch, broken, reason
):
    root = counters(tmp_path, a=(1, 9))
    if broken == "nonsense":
        (root / "intel-rapl:0" / "energy_uj").write_text("nonsense")
    else:
        monkeypatch.setattr(Path, "read_text", refused)
    meter = EnergyMeter(root)
    assert meter.reason.startswith(reason)
    burner = Burner(tmp_path / "elsewhere")
    burner.root.mkdir()
    done = time_folders({"row": burner}, [tmp_path] * 2, [1], 1, meter=meter)
    assert done.images_per_joule == {}
    assert done.per_image_ms
