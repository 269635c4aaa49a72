"""DICOMDIR files: the one among pydicom's own test files, and some written here."""

from pathlib import Path

import pytest

from edge_mri.images import ImageFiles, read_frames

pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian  # noqa: E402

FILES = Path(pydicom.__file__).parent / "data/test_files"


def test_a_dicomdir_stands_for_the_files_it_lists():
    found = list(ImageFiles([FILES / "dicomdirtests/DICOMDIR"], volumes=True))
    assert len(found) == 31
    assert all(min(next(read_frames(path)).pixels.shape) == 16 for path in found)


def test_a_folder_with_a_dicomdir_gives_each_of_its_files_once():
    found = [path.name for path in ImageFiles([FILES / "dicomdirtests"], volumes=True)]
    assert "DICOMDIR" not in found
    assert found.count("4678") == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 128 + b"DICM", b"no DICOMDIR"])
def test_a_dicomdir_that_cannot_be_read_comes_itself(tmp_path, content):
    path = tmp_path / "DICOMDIR"
    path.write_bytes(content)
    assert list(ImageFiles([path], volumes=True)) == [path]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_dicomdir_leads_nowhere_outside_its_folder(tmp_path):
    records = []
    for parts in (["..", "A"], ["/etc/passwd"], ["SUB", "IM1"], ["..\\A"]):
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", parts
        records.append(record)
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.DirectoryRecordSequence = Sequence(records)
    pydicom.dcmwrite(tmp_path / "DICOMDIR", header, enforce_file_format=True)
    found = list(ImageFiles([tmp_path / "DICOMDIR"], volumes=True))
    assert tmp_path / "SUB/IM1" in found
    assert all(path.is_relative_to(tmp_path) and ".." not in path.parts for path in found)
    assert Path("/etc/passwd") not in found
