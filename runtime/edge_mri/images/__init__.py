"""Images that come in: finding them, and reading them as grey pixels.

    files.py     which files there are among some paths
    limits.py    how large a file and an image may be
    reading.py   a file, its bytes or an array, as one image or as frames

What the network sees of the pixels is `edge_mri.preprocess`.
"""

from edge_mri.images.files import SUFFIXES, ImageFiles
from edge_mri.images.frame import Frame
from edge_mri.images.grey import grey_array
from edge_mri.images.limits import Limits
from edge_mri.images.reading import (
    decode_frames,
    decode_image,
    decode_stored,
    read_file,
    read_frames,
    read_image,
)

__all__ = [
    "SUFFIXES",
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
