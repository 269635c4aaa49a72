"""Phantoms as DICOM, as `edge-mri phantom --format dcm` writes them."""

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from edge_mri.images import read_frames
from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import draw_phantom

pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")


@pytest.fixture(scope="module")
def series(tmp_path_factory, process) -> Path:
    folder = tmp_path_factory.mktemp("series")
    options = ("--format", "dcm", "--count", 2, "--slices", 5, "--size", 96, "--seed", 3)
    ended = process("-m", "edge_mri", "phantom", folder, *options)
    assert ended.code == 0, ended.err
    assert "24 phantoms" in ended.err
    return folder


def test_each_case_is_a_series_in_a_study_of_its_own(series):
    cases: dict[tuple[str, str], set[str]] = {}
    for path in sorted(series.rglob("*.dcm")):
        header = pydicom.dcmread(path)
        key = (header.StudyInstanceUID, header.SeriesInstanceUID)
        cases.setdefault(key, set()).add(path.parent.relative_to(series).as_posix())
    assert len(cases) == len({study for study, _ in cases}) == 24
    assert all(len(folders) == 1 for folders in cases.values())
    headers = [pydicom.dcmread(one) for one in series.rglob("*.dcm")]
    assert len({one.SOPInstanceUID for one in headers}) == 24 * 5
    assert {str(one.PatientName) for one in headers} == {"Phantom^Edge-MRI"}
    assert {one.PatientIdentityRemoved for one in headers} == {"YES"}


@pytest.mark.parametrize("label", LabelSpace().classes, ids=str)
def test_the_orientation_says_the_plane_and_the_positions_are_evenly_apart(series, label):
    paths = sorted((series / str(label) / "phantom-0001").iterdir())
    for path in paths:
        (frame,) = read_frames(path)
        assert frame.plane == label.plane
        assert frame.foreign is None
    headers = [pydicom.dcmread(path) for path in paths]
    directions = np.array([float(one) for one in headers[0].ImageOrientationPatient])
    across = np.cross(directions[:3], directions[3:])
    along = [float(across @ np.array(one.ImagePositionPatient, float)) for one in headers]
    np.testing.assert_allclose(np.abs(np.diff(along)), 20, atol=1e-3)
    assert [one.InstanceNumber for one in headers] == [1, 2, 3, 4, 5]


def test_the_middle_slice_is_the_phantom_and_the_outer_ones_are_smaller(series):
    label = LabelSpace().classes[0]
    drawn = draw_phantom(label, size_px=96, seed=3, index=1)
    folder = series / str(label) / "phantom-0001"
    middle = pydicom.dcmread(folder / "slice-0003.dcm").pixel_array
    np.testing.assert_array_equal(middle, drawn)
    outer = pydicom.dcmread(folder / "slice-0001.dcm").pixel_array
    assert np.count_nonzero(outer > 40) < 0.8 * np.count_nonzero(middle > 40)


def test_the_same_arguments_give_the_same_files(series, tmp_path, command):
    arguments = ("--format", "dcm", "--count", 1, "--slices", 5, "--size", 96, "--seed", 3)
    assert command("phantom", tmp_path, *arguments).code == 0
    again = sorted(tmp_path.rglob("*.dcm"))
    assert len(again) == 60
    for path in again:
        assert path.read_bytes() == (series / path.relative_to(tmp_path)).read_bytes()


@pytest.mark.skipif(which("dcmftest") is None, reason="needs dcmtk")
def test_dcmtk_reads_them_and_finds_no_value_too_long(series):
    path = next(series.rglob("*.dcm"))
    said = subprocess.run(["dcmdump", "-d", path], capture_output=True, text=True, check=True)
    assert "VR length" not in said.stderr
    for element in pydicom.dcmread(path):
        if element.VR == "DS" and element.value:
            values = element.value if element.VM > 1 else [element.value]
            assert all(len(str(one)) <= 16 for one in values), element
