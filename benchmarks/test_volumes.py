"""Slices of a NIfTI volume and a DICOM series, beside what nibabel and pydicom take for the same.

The physics: a volume of side N is cut into 3 N slices of N x N, so that its time may grow with the
voxels and no faster; cutting once copied the volume for every slice, and 256 took 150 times as long
as indexing. On top of the bare values come a range of grey and a look for pixels that stand alone.
A DICOM slice is small, so that its header costs as much as its pixels.
"""

import gzip
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import product

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pytest_benchmark.fixture import BenchmarkFixture

from edge_mri.images import Limits, decode_frames

MOST_TIMES_BARE = 3
"""What slices may take, of what bare values take: NIfTI 1.3 to 2.0, DICOM 1.3 to 1.9 here."""

pytestmark = pytest.mark.usefixtures("one_core")


def written(side: int, *, packed: bool = False) -> bytes:
    """A volume of 16 bits with some anatomy in it."""
    axis = np.linspace(-1, 1, side)
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    grain = np.random.default_rng(0).normal(0, 20, (side,) * 3)
    values = (np.clip(1.1 - distance, 0, 1) * 1000 + grain).astype(np.int16)
    data = nib.Nifti1Image(values, np.diag([1, -1, 1, 1])).to_bytes()
    return gzip.compress(data, 1) if packed else data


def read(data: bytes) -> int:
    """Read all slices as users get them."""
    limits = Limits(max_pixels=10**9)
    return sum(1 for _ in decode_frames(data, limits))


def bare(data: bytes) -> int:
    """Read the values by nibabel, and index each slice of them."""
    image = nib.Nifti1Image.from_bytes(gzip.decompress(data) if data[0] == 0x1F else data)
    values = np.asanyarray(image.dataobj)
    slices = 0
    for axis in range(3):
        for position in range(values.shape[axis]):
            slices += np.ascontiguousarray(values[(slice(None),) * axis + (position,)]).size > 0
    return slices


@pytest.mark.parametrize(("side", "packed"), product((64, 128), (False, True)))
@pytest.mark.parametrize("reader", [read, bare])
def test_slices(benchmark: BenchmarkFixture, reader: object, side: int, packed: bool) -> None:
    """Time one reader; `images` are the slices, so that frames a second can be told."""
    data = written(side, packed=packed)
    benchmark.group = f"NIfTI {side}{', gzip' if packed else ''}"
    benchmark.extra_info["images"] = 3 * side
    assert benchmark(reader, data) == 3 * side


def series(slices: int = 24) -> list[bytes]:
    """A DICOM series of 12 bits with a window, as a scanner writes it."""
    volume = np.frombuffer(written(256)[352:], np.int16).reshape(256, 256, 256)
    files = []
    for number in range(slices):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        header.SOPInstanceUID = f"1.2.3.{number + 1}"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.Modality, header.BodyPartExamined, header.SeriesInstanceUID = "MR", "HEAD", "1.2.3"
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.ImagePositionPatient, header.PixelSpacing = [0, 0, 5.0 * number], [0.9, 0.9]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.Rows = header.Columns = 256
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
        header.PixelRepresentation = 0
        header.WindowCenter, header.WindowWidth = "550", "1100"
        place = 60 + number * 136 // slices
        header.PixelData = np.clip(volume[place], 0, 4095).astype(np.uint16).tobytes()
        file = BytesIO()
        pydicom.dcmwrite(file, header, enforce_file_format=True)
        files.append(file.getvalue())
    return files


def read_series(files: Sequence[bytes]) -> int:
    """Read all slices as users get them."""
    return sum(read(data) for data in files)


def bare_series(files: Sequence[bytes]) -> int:
    """Read their stored values by pydicom."""
    return sum(pydicom.dcmread(BytesIO(data)).pixel_array.size > 0 for data in files)


@pytest.mark.parametrize("reader", [read_series, bare_series])
def test_series(benchmark: BenchmarkFixture, reader: object) -> None:
    """Time one reader."""
    files = series()
    benchmark.group = "DICOM, 24 slices of 256 x 256"
    benchmark.extra_info["images"] = len(files)
    assert benchmark(reader, files) == len(files)


@pytest.mark.parametrize(
    ("ours", "plain", "make"),
    [(read, bare, lambda: written(192)), (read_series, bare_series, series)],
    ids=["NIfTI", "DICOM"],
)
def test_slices_take_a_few_times_what_bare_values_take(
    ours: Callable[[object], int], plain: Callable[[object], int], make: Callable[[], object]
) -> None:
    """Hold the ratio, which no machine changes by much, at the side of real volumes."""
    from time import process_time

    data, seconds = make(), {}
    for reader in (plain, ours) * 3:
        began = process_time()
        reader(data)
        seconds[reader] = min(seconds.get(reader, np.inf), process_time() - began)
    assert seconds[ours] < MOST_TIMES_BARE * seconds[plain]
