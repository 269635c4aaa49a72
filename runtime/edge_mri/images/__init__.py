"""Images that come in: finding them, reading them as grey pixels, and what a network sees of them.

    files        which files there are among some paths (path_list: on stdin; dicomdir: listed;
                 patterns: what `*` matches)
    opening      a file's bytes, whatever the file turns out to be
    reading      a file, its bytes or an array, as one image or as frames
    preprocess   the one function that turns grey pixels into network input
    prepared     an image ready for the network, with what drawing on it needs

Below them are `formats`, a decoder each, and `pixels`, what decoders make. No model is known here.
"""

from edge_mri.images.files import SUFFIXES, VOLUME_SUFFIXES, ImageFiles
from edge_mri.images.opening import read_file
from edge_mri.images.pixels.frame import Frame
from edge_mri.images.pixels.grey import grey_array
from edge_mri.images.pixels.limits import Limits
from edge_mri.images.reading import (
    Source,
    decode_frames,
    decode_image,
    decode_stored,
    read_frames,
    read_image,
    read_source,
)

__all__ = [
    "SUFFIXES",
    "VOLUME_SUFFIXES",
    "Frame",
    "ImageFiles",
    "Limits",
    "Source",
    "decode_frames",
    "decode_image",
    "decode_stored",
    "grey_array",
    "read_file",
    "read_frames",
    "read_image",
    "read_source",
]
