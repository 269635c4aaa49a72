"""What a trained model remembers of its training images: 71 bytes each, and no image.

From these bytes it recognises, on any machine, images that it was trained on: exact copies by
their pixel hash, edited ones by a perceptual hash (`edge_mri_train.duplicates.sketch`). Such a
hash knows less of an image than the image's thumbnail, so this finds less than
`edge_mri_train.duplicates.search` does with both images at hand.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_mri.terminal.progress import NoProgress, Progress
from edge_mri_train.duplicates.candidates import Candidates, Layer, search_pool, strongest
from edge_mri_train.duplicates.descriptors import (
    SIZE,
    SYMMETRIES,
    VIEWS,
    describe_views,
    turn,
)
from edge_mri_train.duplicates.fingerprint import Fingerprint
from edge_mri_train.duplicates.registration import COARSE_PX, coarse_map, view_warp
from edge_mri_train.duplicates.sketch import COEFFICIENTS, SKETCH_BYTES, Sketches
from edge_mri_train.errors import SeenImagesError

SEEN = 0.80
"""Agreement from which an image counts as seen.

Measured (decision record 0006): of 14,172 images of other patients or body parts 2 are taken for
seen. Re-encoded, resized, turned, mirrored, brightened, noisy and blurred training images are
recognised in 99 to 100 of 100 cases, heads cut by a tenth a side in 94, strong gamma in 89, CLAHE
in 79, equalised histograms in 61. Slices beside a training image are recognised at times.
"""

_LEAST_LIKENESS = 0.75  # cosine of two descriptors
_ASKED_WHOLE, _ASKED_CROP, _ASKED_VIEW = 6, 24, 2  # hits per image and orientation
_CHUNK = 64  # images at a time

_MAGIC = b"emriseen"
_VERSION = 1
_HEADER = struct.Struct("<8sHII")  # magic, version, hashes, sketches
_MOST = 10_000_000  # images; bytes that claim more are not unpacked


class _Index(NamedTuple):
    """Where sketches are looked up; made when they are first asked.

    Attributes:
        sketches: The sketches.
        whole: An index of them.
        crop: An index of crops of them.
    """

    sketches: Sketches
    whole: Layer
    crop: Layer


class SeenImages:
    """The training images of a model, as hashes; those of the models it was made from too."""

    def __init__(
        self,
        hashes: NDArray[np.uint64],
        sketches: Sketches,
        others: Sequence["SeenImages"] = (),
    ) -> None:
        """Hold hashes as they are stored.

        Args:
            hashes: `(N,)` first 8 bytes of pixel hashes, sorted.
            sketches: Of the images that are not flat.
            others: What starting weights and teachers have seen.
        """
        self._hashes = hashes
        self._sketches = sketches
        self._others = tuple(others)

    def __len__(self) -> int:
        parts = [self._hashes, *(one._hashes for one in self._others)]
        return len(np.unique(np.concatenate(parts)))

    @classmethod
    def of(cls, fingerprints: Sequence[Fingerprint]) -> "SeenImages":
        """Remember images; in which order they come, and how often, does not matter."""
        unique = {image.pixel_hash: image for image in fingerprints}
        images = [unique[key] for key in sorted(unique)]
        maps = _maps([image for image in images if not image.is_flat])
        return cls(np.unique(_short_hashes(images)), Sketches.of(maps))

    def with_those_of(self, models: Sequence["SeenImages"]) -> "SeenImages":
        """Return these images and all that other models have seen.

        What one of them holds whole is not held twice: a run from a model's weights, on nearly the
        same images, would otherwise double its memory of them.
        """
        every = [one for model in (self, *models) for one in (model, *model._others)]
        parts: list[SeenImages] = []
        for one in sorted(every, key=lambda part: -len(part._hashes)):
            if not any(np.isin(one._hashes, part._hashes).all() for part in parts):
                parts.append(one)
        first, *others = parts
        return SeenImages(first._hashes, first._sketches, others)

    def exact(self, fingerprints: Sequence[Fingerprint]) -> NDArray[np.bool_]:
        """Tell which of N images have the pixels of a training image, as `(N,)`."""
        hashes = _short_hashes(fingerprints)
        seen = np.isin(hashes, self._hashes)
        for one in self._others:
            seen |= np.isin(hashes, one._hashes)
        return seen

    def near(
        self, fingerprints: Sequence[Fingerprint], progress: Progress | None = None
    ) -> NDArray[np.bool_]:
        """Tell which of N images are a training image or an edited one, as `(N,)`.

        Edited: in another format or size, turned, mirrored, cropped, or with another brightness,
        contrast or gamma. Of flat images only copies are told. The answer for an image does not
        depend on the others.
        """
        seen = self.exact(fingerprints)
        for part in (self, *self._others):
            part._recognise(fingerprints, seen, progress or NoProgress())
        return seen

    def _recognise(
        self, fingerprints: Sequence[Fingerprint], seen: NDArray[np.bool_], progress: Progress
    ) -> None:
        """Set `(N,)` `seen` where an image agrees with a sketch."""
        asked = [i for i, image in enumerate(fingerprints) if not image.is_flat and not seen[i]]
        chunks = [asked[start : start + _CHUNK] for start in range(0, len(asked), _CHUNK)]
        if not len(self._sketches) or not chunks:
            return
        with search_pool() as pool:
            index = pool.submit(lambda: self._index).result()
            images = ([fingerprints[i] for i in chunk] for chunk in chunks)
            with progress.bar("seen before?", len(chunks)) as step:
                answers = pool.map(partial(_agreements, index), images)
                for chunk, answer in zip(chunks, answers, strict=True):
                    seen[chunk] = np.array(answer) >= SEEN
                    step()

    def to_bytes(self) -> bytes:
        """Return all of it as bytes, compressed; the same images give the same bytes."""
        return b"".join(one._own_bytes() for one in (self, *self._others))

    def _own_bytes(self) -> bytes:
        header = _HEADER.pack(_MAGIC, _VERSION, len(self._hashes), len(self._sketches))
        spread = self._sketches.spread.astype("<f4")
        arrays = (spread, self._hashes.astype("<u8"), self._sketches.codes)
        return header + zlib.compress(b"".join(array.tobytes() for array in arrays), 9)

    @classmethod
    def from_bytes(cls, data: bytes) -> "SeenImages":
        """Read what `to_bytes` returned.

        Raises:
            SeenImagesError: The bytes are something else, damaged, or of another version.
        """
        parts: list[SeenImages] = []
        while data or not parts:
            part, data = cls._first(data)
            parts.append(part)
        return cls(parts[0]._hashes, parts[0]._sketches, parts[1:])

    @classmethod
    def _first(cls, data: bytes) -> tuple["SeenImages", bytes]:
        """Read one model's images, and return what follows them too."""
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            raise SeenImagesError("the bytes are something else")
        _, version, hashes, sketches = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise SeenImagesError(f"its version is {version}; this edge-mri reads {_VERSION}")
        if not sketches <= hashes <= _MOST:
            raise SeenImagesError(f"it is damaged: {hashes:,} images with {sketches:,} sketches")
        ends = np.cumsum([4 * COEFFICIENTS, 8 * hashes, SKETCH_BYTES * sketches]).tolist()
        unpacker = zlib.decompressobj()
        try:
            body = unpacker.decompress(data[_HEADER.size :], ends[2] + 1)
        except zlib.error as error:
            raise SeenImagesError(f"it is damaged: {error}") from error
        following = unpacker.unused_data
        if (
            len(body) != ends[2]
            or not unpacker.eof
            or not following.startswith(_MAGIC[: len(following)])
        ):
            raise SeenImagesError("it is damaged: its size is wrong")
        spread = np.frombuffer(body[: ends[0]], "<f4").astype(np.float32)
        short = np.frombuffer(body[ends[0] : ends[1]], "<u8").astype(np.uint64)
        codes = np.frombuffer(body[ends[1] :], np.uint8).reshape(sketches, SKETCH_BYTES)
        if not (np.isfinite(spread) & (spread >= 0)).all():
            raise SeenImagesError("it is damaged: its numbers make no sense")
        return cls(short, Sketches(codes, spread)), following

    @cached_property
    def _index(self) -> _Index:
        maps = self._sketches.maps
        return _Index(self._sketches, Layer(maps), Layer(maps, of_crops=True))


def _agreements(index: _Index, images: Sequence[Fingerprint]) -> list[float]:
    """Return the best agreement of each image, or the first from `SEEN` on."""
    maps = _maps(images)
    inside, around = [], []  # the image may be a crop of a training image, or the other way round
    for symmetry in range(SYMMETRIES):
        views = describe_views(np.stack([turn(one, symmetry) for one in maps]))
        whole, crops = views[:, 0], views[:, 1:].reshape(-1, SIZE)
        inside.append(index.whole.hits(whole, symmetry, _ASKED_WHOLE, _LEAST_LIKENESS))
        inside.append(index.crop.hits(whole, symmetry, _ASKED_CROP, _LEAST_LIKENESS))
        hits = index.whole.hits(crops, symmetry, _ASKED_VIEW, _LEAST_LIKENESS)
        moving, crop = np.divmod(hits.moving, VIEWS - 1)
        around.append(replace(hits, moving=moving, view=(crop + 1).astype(np.int8)))
    best = [0.0] * len(images)
    for parts, is_around in ((inside, False), (around, True)):
        pairs = strongest(Candidates.concatenate(parts), len(index.sketches))
        for pair in range(len(pairs)):
            image, symmetry = int(pairs.moving[pair]), int(pairs.symmetry[pair])
            if best[image] >= SEEN:
                continue
            start = view_warp(int(pairs.view[pair]))
            if is_around:
                start = np.asarray(cv2.invertAffineTransform(start), np.float32)
            turned = turn(images[image].thumbnail, symmetry)
            score = index.sketches.agreement(int(pairs.target[pair]), turned, start)
            best[image] = max(best[image], score)
    return best


def _maps(fingerprints: Sequence[Fingerprint]) -> NDArray[np.float32]:
    """Return the `(N, 32, 32)` coarse maps of images."""
    maps = [coarse_map(image.thumbnail) for image in fingerprints]
    return np.stack(maps) if maps else np.empty((0, COARSE_PX, COARSE_PX), np.float32)


def _short_hashes(fingerprints: Sequence[Fingerprint]) -> NDArray[np.uint64]:
    joined = b"".join(image.pixel_hash[:8] for image in fingerprints)
    return np.frombuffer(joined, "<u8").astype(np.uint64)
