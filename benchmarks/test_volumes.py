"""Slices of a NIfTI volume, beside what nibabel and plain indexing take for the same voxels.

The physics: a volume of side N is cut into 3 N slices of N x N, so that its time may grow with the
voxels and no faster; cutting once copied the volume for every slice, and 256 took 150 times as long
as indexing.
"""

import gzip
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge_mri.images import Limits, decode_frames

MOST_TIMES_BARE = 25
"""What a slice may take, of what reading it takes without a grey range: 4 to 8 here."""

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


def test_a_volume_takes_a_few_times_what_its_bare_slices_take() -> None:
    """Hold the ratio, which no machine changes by much, at the side of real volumes."""
    from time import perf_counter

    data, seconds = written(192), {}
    for reader in (bare, read, bare, read):
        began = perf_counter()
        reader(data)
        seconds[reader] = min(seconds.get(reader, np.inf), perf_counter() - began)
    assert seconds[read] < MOST_TIMES_BARE * seconds[bare]
