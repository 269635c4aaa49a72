"""Large graphs are known as such, and asked about fewer images at once."""

import pytest
from torch import nn

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_export.graph.graph import body_graph
from edge_mri_export.graph.work import bytes_of, images_at_once, images_within, macs
from edge_mri_train.networks.checkpoint import Checkpoint


def body(channels, size=64):
    network = nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(size), nn.Flatten(1),
        nn.Linear(channels, 4),
    )  # fmt: skip
    return body_graph(
        Checkpoint("small", LabelSpace(planes=()), PreprocessSpec(size), network.eval())
    )


def test_multiplications_are_counted_by_hand():
    assert macs(body(8)) == 64 * 64 * 8 * 9 + 8 * 4


def test_no_value_grows_beyond_what_is_allowed():
    assert images_at_once(body(8)) == 64
    wide = body(2048)
    count = images_at_once(wide)
    largest = 2048 * 64 * 64 * 4
    assert 1 <= count < 64
    assert count * largest <= 256e6 < (count + 1) * largest
    names = [node.output[0] for node in wide.graph.node if node.op_type in ("Conv", "Relu")]
    assert bytes_of(wide, names) == 2 * largest


@pytest.mark.parametrize(
    ("work", "images"), [(0, 2000), (10**9, 2000), (17_553_000_000, 227), (10**12, 200)]
)
def test_large_networks_are_asked_about_fewer_images(work, images):
    assert images_within(work, 2000) == images
