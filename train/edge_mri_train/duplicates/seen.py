"""What a trained model remembers of its training images: 71 bytes each, and no image.

From these bytes it recognises, on any machine, images that it was trained on: exact copies by
their pixel hash, edited ones by a perceptual hash (`edge_mri_train.duplicates.sketch`). Such a
hash knows less of an image than the image's thumbnail, so this finds less than
`edge_mri_train.duplicates.search` does with both images at hand.
"""

import struct
import zlib
from collections.abc import Sequence
from functools import cached_property, partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.errors import ModelError
from edge_mri.progress import NoProgress, Progress
from edge_mri_train.duplicates.candidates import Candidates, Layer, search_pool, strongest
from edge_mri_train.duplicates.descriptors import SYMMETRIES, VIEWS, describe_views, turn
from edge_mri_train.duplicates.fingerprint import Fingerprint
from edge_mri_train.duplicates.registration import coarse_map, view_warp
from edge_mri_train.duplicates.sketch import SKETCH_BYTES, agreement, redraw, sketch

SEEN = 0.86
"""Agreement from which an image counts as seen."""

_LEAST_LIKENESS = 0.75  # cosine of two descriptors
_ASKED_WHOLE, _ASKED_CROP, _ASKED_VIEW = 6, 24, 2  # hits per image and orientation
_CHUNK = 64  # images at a time

_MAGIC = b"emriseen"
_VERSION = 1
_HEADER = struct.Struct("<8sHII")  # magic, version, hashes, sketches
_HASH_BYTES = 8


class SeenImagesError(ModelError, ValueError):
    """Bytes are no memory of training images, or one that this version does not understand."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the memory of training images cannot be used: {reason}")


class _Memory(NamedTuple):
    """What is drawn from the sketches when they are first asked.

    Attributes:
        drawn: `(M, 32, 32)` float32.
        whole: Index of them.
        crop: Index of crops of them.
    """

    drawn: NDArray[np.float32]
    whole: Layer
    crop: Layer


class SeenImages:
    """The training images of a model, as hashes."""

    def __init__(self, hashes: NDArray[np.uint64], sketches: NDArray[np.uint8]) -> None:
        """Hold `(N,)` sorted hashes and `(M, SKETCH_BYTES)` sketches, those that are not flat."""
        self._hashes = hashes
        self._sketches = sketches

    def __len__(self) -> int:
        return len(self._hashes)

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint]) -> "SeenImages":
        """Remember images; in which order they come, and how often, does not matter."""
        unique = {image.pixel_hash: image for image in fingerprints}
        images = [unique[key] for key in sorted(unique)]
        maps = _maps([image for image in images if not image.is_flat])
        return cls(np.unique(_short_hashes(images)), sketch(maps))

    def exact(self, fingerprints: Sequence[Fingerprint]) -> NDArray[np.bool_]:
        """Tell which of N images have the pixels of a training image, as `(N,)`."""
        return np.isin(_short_hashes(fingerprints), self._hashes)

    def near(
        self, fingerprints: Sequence[Fingerprint], progress: Progress | None = None
    ) -> NDArray[np.bool_]:
        """Tell which of N images are a training image or an edited one, as `(N,)`.

        Edited: in another format or size, turned, mirrored, cropped, or with another brightness,
        contrast or gamma. Of flat images only copies are told. The answer for an image does not
        depend on the others.
        """
        seen = self.exact(fingerprints)
        asked = [i for i, image in enumerate(fingerprints) if not image.is_flat and not seen[i]]
        chunks = [asked[start : start + _CHUNK] for start in range(0, len(asked), _CHUNK)]
        if not len(self._sketches) or not chunks:
            return seen
        with search_pool() as pool:
            memory = pool.submit(lambda: self._memory).result()
            maps = (_maps([fingerprints[i] for i in chunk]) for chunk in chunks)
            with (progress or NoProgress()).bar("seen before?", len(chunks)) as step:
                answers = pool.map(partial(_recognise, memory), maps)
                for chunk, answer in zip(chunks, answers, strict=True):
                    seen[chunk] = answer
                    step()
        return seen

    def to_bytes(self) -> bytes:
        """Return all of it as bytes, compressed; the same images give the same bytes."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(self._hashes), len(self._sketches))
        body = self._hashes.astype("<u8").tobytes() + self._sketches.tobytes()
        return header + zlib.compress(body, 9)

    @classmethod
    def from_bytes(cls, data: bytes) -> "SeenImages":
        """Read what `to_bytes` returned.

        Raises:
            SeenImagesError: The bytes are something else, damaged, or of a later version.
        """
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            raise SeenImagesError("these bytes are something else")
        _, version, hashes, sketches = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise SeenImagesError(f"its version is {version}, this is for {_VERSION}")
        split, size = hashes * _HASH_BYTES, hashes * _HASH_BYTES + sketches * SKETCH_BYTES
        unpacker = zlib.decompressobj()
        try:
            body = unpacker.decompress(data[_HEADER.size :], size + 1)
        except zlib.error as error:
            raise SeenImagesError(f"it is damaged ({error})") from error
        if len(body) != size or not unpacker.eof or unpacker.unused_data:
            raise SeenImagesError("it is damaged (its size is wrong)")
        return cls(
            np.frombuffer(body[:split], "<u8").astype(np.uint64),
            np.frombuffer(body[split:], np.uint8).reshape(sketches, SKETCH_BYTES),
        )

    @cached_property
    def _memory(self) -> _Memory:
        drawn = redraw(self._sketches)
        return _Memory(drawn, Layer(drawn), Layer(drawn, of_crops=True))


def _recognise(memory: _Memory, maps: NDArray[np.float32]) -> list[bool]:
    """Tell which of `(Q, 32, 32)` coarse maps agree with a sketch."""
    inside, around = [], []  # the image may be a crop of a training image, or the other way round
    for symmetry in range(SYMMETRIES):
        views = describe_views(np.stack([turn(image, symmetry) for image in maps]))
        whole, crops = views[:, 0], views[:, 1:].reshape(-1, views.shape[2])
        inside.append(_alike(*memory.whole.nearest(whole, _ASKED_WHOLE), symmetry))
        inside.append(_alike(*memory.crop.nearest(whole, _ASKED_CROP), symmetry))
        hits = _alike(*memory.whole.nearest(crops, _ASKED_VIEW), symmetry)
        moving, crop = np.divmod(hits.moving, VIEWS - 1)
        view = (crop + 1).astype(np.int8)
        around.append(Candidates(moving, hits.symmetry, view, hits.target, hits.likeness))
    seen = [False] * len(maps)
    for parts, of_image in ((inside, False), (around, True)):
        pairs = strongest(Candidates.concatenate(parts), len(memory.drawn))
        for index in range(len(pairs)):
            moving = int(pairs.moving[index])
            if not seen[moving]:
                warp = view_warp(int(pairs.view[index]))
                start = cv2.invertAffineTransform(warp) if of_image else warp
                turned = turn(maps[moving], int(pairs.symmetry[index]))
                drawn = memory.drawn[pairs.target[index]]
                seen[moving] = agreement(drawn, turned, np.asarray(start, np.float32)) >= SEEN
    return seen


def _alike(
    target: NDArray[np.int64],
    view: NDArray[np.int8],
    likeness: NDArray[np.float32],
    symmetry: int,
) -> Candidates:
    """Return the hits, `(Q, K)` each, that are alike enough."""
    alike = (target >= 0) & (likeness >= _LEAST_LIKENESS)
    return Candidates(
        moving=np.nonzero(alike)[0],
        symmetry=np.full(np.count_nonzero(alike), symmetry, np.int8),
        view=view[alike],
        target=target[alike],
        likeness=likeness[alike],
    )


def _maps(fingerprints: Sequence[Fingerprint]) -> NDArray[np.float32]:
    """Return the `(N, 32, 32)` coarse maps of images."""
    maps = [coarse_map(image.thumbnail) for image in fingerprints]
    return np.stack(maps) if maps else np.empty((0, 32, 32), np.float32)


def _short_hashes(fingerprints: Sequence[Fingerprint]) -> NDArray[np.uint64]:
    joined = b"".join(image.pixel_hash[:_HASH_BYTES] for image in fingerprints)
    return np.frombuffer(joined, "<u8").astype(np.uint64)
