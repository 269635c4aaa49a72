"""The patient of what is sent back is that of the images, whatever their headers hold."""

import warnings
from io import BytesIO

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra [node]")
pytest.importorskip("highdicom", reason="needs the extra [node]")

from edge_mri.images import Limits  # noqa: E402
from edge_mri.node.captures import captures  # noqa: E402
from edge_mri.node.evidence import Evidence  # noqa: E402
from edge_mri.node.instance import Instance  # noqa: E402
from edge_mri.node.judge import Judge  # noqa: E402
from edge_mri.node.reports import report  # noqa: E402
from edge_mri.process.quiet import keep_pydicom_quiet  # noqa: E402

NAME, SEX = 0x00100010, 0x00100040


def answers(path, classifier, tmp_path):
    """Report and pictures on one image, as files."""
    keep_pydicom_quiet("highdicom")
    instance = Instance.of(path, Limits())
    judgement = Judge(classifier, 1, 2)([(path, instance)], 0, [], lambda: False)
    evidence = Evidence(path, Limits())
    made = [report(judgement, classifier, evidence), *captures(judgement, classifier, evidence)]
    files = []
    for one in made:
        file = BytesIO()
        one.save_as(file)
        files.append(file.getvalue())
    return files


def raw(data: bytes, tag: int) -> bytes | None:
    """The bytes of an element, as they are in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    element = header.get_item(tag)
    return None if element is None else bytes(element.value or b"")


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("ISO_IR 192", "Иванов^Иван".encode()),
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1")),
        ("ISO_IR 144", "Иванов^Иван".encode("iso8859_5")),
        ("\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        (None, b"One name alone"),
        (None, b"M\xfcller^J\xf6rg"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_name_comes_back_as_it_was_written(lab, classifier, tmp_path, characters, name):
    (path,) = lab.write_series(tmp_path, slices=1)
    placeholder = b"Secret^Name".ljust(40)
    header = pydicom.dcmread(path)
    header.PatientName = placeholder.decode().rstrip().ljust(40, "x")
    if characters is not None:
        header.SpecificCharacterSet = characters.split("\\")
    header.save_as(path)
    data = path.read_bytes().replace(b"Secret^Name".ljust(40, b"x"), name.ljust(40))
    path.write_bytes(data)
    for file in answers(path, classifier, tmp_path):
        assert raw(file, NAME).rstrip() == name
        read = [pydicom.dcmread(BytesIO(one)).get("SpecificCharacterSet") for one in (file, data)]
        assert read[0] == read[1]


@pytest.mark.filterwarnings("ignore")
def test_a_header_without_a_patient_and_one_with_odd_values_get_their_report(
    lab, classifier, tmp_path
):
    (path,) = lab.write_series(tmp_path, slices=1)
    header = pydicom.dcmread(path)
    header.PatientSex = "unknown"
    header.PatientBirthDate = "in 1947"
    header.StudyTime = "noon"
    header.save_as(path)
    for file in answers(path, classifier, tmp_path):
        assert raw(file, SEX).rstrip() == b"unknown"
    for name in ("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "StudyDate"):
        del header[name]
    del header.ImageOrientationPatient
    header.save_as(path)
    files = answers(path, classifier, tmp_path)
    assert len(files) == 1 + (len(files) > 1)
    for file in files:
        read = pydicom.dcmread(BytesIO(file))
        assert read.PatientName == ""
        assert read.StudyInstanceUID == header.StudyInstanceUID
        if "PixelData" in read:
            assert np.ptp(read.pixel_array) > 0
