"""One slice in every file it may come in: does the answer stay the same?

Slices of the sets at hand, 8 bits as they are, are written as 16-bit PNG and TIFF over the full
range and with 12 bits in use, as floating point, DICOM of 12 bits with and without a window, and
NIfTI; each also with 20 hot pixels, and with noise below the eighth bit. Each file goes through the
reader that users get; the answers are held against those to the slice itself. From a checkout:

    python benchmarks/studies/accuracy/measure_dresses.py --data "$EDGE_MRI_DATA"

Of a slice whose brightest pixel is below 128 nothing tells how bright it was; see the record,
docs/decisions/0057.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import click
import cv2
import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from edge_mri.classifier import Classifier
from edge_mri.images import ImageFiles, read_image

HOT = 20
FOLDERS = ("nickparvar/Testing", "artemis/Testing", "tcga-lgg/tumor", "tcga-lgg/no_tumor", "f44")

Pixels = NDArray[np.uint8]
Deep = NDArray[np.generic]
Dress = tuple[str, Callable[[Pixels], Deep], Callable[[Deep], bytes]]


def encoded(suffix: str) -> Callable[[Deep], bytes]:
    """Return what writes a PNG or TIFF."""
    return lambda pixels: bytes(cv2.imencode(suffix, pixels)[1])


def dicom(window: bool) -> Callable[[Deep], bytes]:
    """Return what writes a DICOM file of 12 bits."""

    def write(pixels: Deep) -> bytes:
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        header.Modality, header.SamplesPerPixel = "MR", 1
        header.PhotometricInterpretation = "MONOCHROME2"
        header.Rows, header.Columns = pixels.shape
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
        header.PixelRepresentation = 0
        if window:
            header.WindowCenter, header.WindowWidth = "2048", "4096"
        header.PixelData = pixels.tobytes()
        file = BytesIO()
        pydicom.dcmwrite(file, header, enforce_file_format=True)
        return file.getvalue()

    return write


def nifti(pixels: Deep) -> bytes:
    """Write a volume of one axial slice."""
    volume = np.ascontiguousarray(pixels.T[::-1, ::-1])[..., np.newaxis]
    return bytes(nib.Nifti1Image(volume, np.eye(4), dtype=volume.dtype).to_bytes())


def times(factor: float, dtype: type) -> Callable[[Pixels], Deep]:
    """Return what makes pixels deeper; whole numbers are rounded."""

    def deepen(pixels: Pixels) -> Deep:
        values = pixels.astype(np.float64) * factor
        return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)

    return deepen


def with_noise(pixels: Pixels) -> Deep:
    """Return 12 bits whose lower four are noise."""
    noise = np.random.default_rng(0).integers(0, 16, pixels.shape)
    return (pixels.astype(np.uint16) * 16 + noise).astype(np.uint16)


def heated(pixels: Deep, brightest: float) -> Deep:
    """Return an image of which a few pixels are as bright as can be."""
    places = np.random.default_rng(1).choice(pixels.size, HOT, replace=False)
    hot = pixels.copy()
    hot.reshape(-1)[places] = brightest
    return hot


TWELVE, SIXTEEN = 4095 / 255, 257.0
DRESSES: tuple[tuple[str, Callable[[Pixels], Deep], Callable[[Deep], bytes], float], ...] = (
    ("PNG 16 bits, full range", times(SIXTEEN, np.uint16), encoded(".png"), 65535),
    ("PNG 12 bits in 16", times(16, np.uint16), encoded(".png"), 65535),
    ("TIFF 16 bits, full range", times(SIXTEEN, np.uint16), encoded(".tif"), 65535),
    ("TIFF 12 bits in 16", times(TWELVE, np.uint16), encoded(".tif"), 4095),
    ("TIFF float, 0 to 1", times(1 / 255, np.float32), encoded(".tif"), 100),
    ("TIFF float, full range", times(SIXTEEN, np.float32), encoded(".tif"), 1e6),
    ("DICOM 12 bits, window", times(TWELVE, np.uint16), dicom(True), 4095),
    ("DICOM 12 bits, no window", times(TWELVE, np.uint16), dicom(False), 4095),
    ("NIfTI 12 bits", times(TWELVE, np.int16), nifti, 32767),
    ("NIfTI float", times(3.7, np.float32), nifti, 1e5),
    ("PNG 12 bits, noise below 8", with_noise, encoded(".png"), 65535),
    ("DICOM 12 bits, noise, no window", with_noise, dicom(False), 4095),
    ("NIfTI 12 bits, noise", lambda p: with_noise(p).astype(np.int16), nifti, 32767),
)


def chosen(data: Path, count: int, brightest: int) -> list[Path]:
    """Return files spread evenly over the sets, whose brightest pixel is at least so bright."""
    found = [file for name in FOLDERS for file in ImageFiles((data / name,))]
    step = max(len(found) // (2 * count), 1)
    bright = [file for file in found[::step] if read_image(file).max() >= brightest]
    return [bright[i] for i in np.linspace(0, len(bright) - 1, count).round().astype(int)]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The sets' folder.")
@click.option("--count", default=90, show_default=True, help="Slices.")
@click.option("--brightest", default=128, show_default=True, help="Of a slice, at least.")
def main(data: Path, count: int, brightest: int) -> None:
    """Print a table in Markdown: one row a dress."""
    classifier = Classifier.load(device="cpu", reject=False)
    slices = [read_image(file) for file in chosen(data, count, brightest)]
    expected = [classifier.predict(pixels) for pixels in slices]
    click.echo("| the slice as | type changes | median change of P | largest | with hot pixels: |")
    for name, deepen, write, hottest in DRESSES:
        cells = [name]
        for heat in (False, True):
            files = [heated(deepen(p), hottest) if heat else deepen(p) for p in slices]
            found = [classifier.predict(write(file)) for file in files]
            changes = [
                abs((one.tumor_probability or 0) - (other.tumor_probability or 0))
                for one, other in zip(found, expected, strict=True)
            ]
            types = sum(a.type != b.type for a, b in zip(found, expected, strict=True))
            cells += [str(types), f"{np.median(changes):.3f}", f"{max(changes):.3f}"]
        click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
