"""Every architecture with a recipe: FP32 ONNX against PyTorch on 200 real images."""

from itertools import zip_longest

import numpy as np
import pytest
import torch

from edge_mri.images import ImageFiles
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_export.graph.graph import body_graph, with_pixel_input
from edge_mri_export.guard.answers import checkpoint_answers, graph_answers
from edge_mri_train.data.pixels import load_pixels
from edge_mri_train.networks.architectures import build, normalise
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.settings.recipe_files import read_recipe, recipe_names

SIZES = {"edge_net": 160, "mobilenet_v2": 96, "mobilenet_v2_lesion": 96, "artemis_cnn": 150}
SIZES |= {"inception_v3": 80}


def test_every_architecture_with_a_recipe_is_among_them():
    stages = [stage for name in recipe_names() for stage in read_recipe(name)]
    assert {stage.values["arch"] for stage in stages} == set(SIZES)


@pytest.fixture(scope="module")
def real(data_dir):
    """Load 200 images of all folders of both sets at a size."""
    folders = sorted((data_dir / "nickparvar" / "Testing").iterdir())
    folders += sorted((data_dir / "artemis").glob("*/*"))
    files = [sorted(ImageFiles([folder])) for folder in folders if folder.is_dir()]
    some = [file for one in zip_longest(*files) for file in one if file][:200]
    assert len(some) == 200
    return lambda size: load_pixels(some, PreprocessSpec(size))


def settled(name: str, size: int, pixels: np.ndarray) -> Checkpoint:
    """A network of random weights whose BatchNorms know the statistics of these images."""
    torch.manual_seed(0)
    network = build(name, 12, size)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(normalise(torch.from_numpy(pixels)))
    return Checkpoint(name, LabelSpace(), PreprocessSpec(size), network.eval())


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_fp32_onnx_gives_pytorchs_logits(real, lively, name, size):
    """Two random networks have large logits: they are allowed what the export's guard allows."""
    pixels = real(size)
    made = lively if name == "artemis_cnn" else settled  # its sigmoids need larger weights
    checkpoint = made(name, size, pixels[:48])
    expected = checkpoint_answers(checkpoint, pixels)
    found = graph_answers(with_pixel_input(body_graph(checkpoint)), pixels)
    assert expected.logits.std(axis=0).max() > 1e-3  # it tells images apart
    # Up to 90 and 14; float32 PyTorch and its own float64 differ as much (docs/decisions/0018).
    largest = np.abs(expected.logits).max() if name in ("inception_v3", "artemis_cnn") else 1.0
    assert np.abs(found.logits - expected.logits).max() <= 1e-4 * max(largest, 1.0)
    if expected.lesion is not None:
        np.testing.assert_allclose(found.lesion, expected.lesion, atol=1e-5)
