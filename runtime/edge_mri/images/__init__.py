"""Images that come in: finding them, and reading them as grey pixels.

    files.py             which files there are among some paths
    dicomdir.py          which files a DICOMDIR lists
    opening.py           a file's bytes, whatever the file turns out to be
    limits.py            how large a file and an image may be
    headers.py           a file's format and size from its first bytes
    reading.py           a file, its bytes or an array, as one image or as frames (frame.py)
    picture.py           JPEG, PNG, BMP, WebP, and the pages of a TIFF, by OpenCV
    jpeg.py, png.py, webp.py, tiff.py   what of their files OpenCV is given
    dicom.py, nifti.py   frames and slices, with the plane they lie in (plane.py); optional
    deflated.py          deflated DICOM, inflated within bounds
    grey.py              stored values to 8 bits of grey

What the network sees of the pixels is `edge_mri.preprocess`.
"""

from edge_mri.images.files import SUFFIXES, VOLUME_SUFFIXES, ImageFiles
from edge_mri.images.frame import Frame
from edge_mri.images.grey import grey_array
from edge_mri.images.limits import Limits
from edge_mri.images.opening import read_file
from edge_mri.images.reading import (
    decode_frames,
    decode_image,
    decode_stored,
    read_frames,
    read_image,
)

__all__ = [
    "SUFFIXES",
    "VOLUME_SUFFIXES",
    "Frame",
    "ImageFiles",
    "Limits",
    "decode_frames",
    "decode_image",
    "decode_stored",
    "grey_array",
    "read_file",
    "read_frames",
    "read_image",
]
