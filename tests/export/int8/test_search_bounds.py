"""The search stays within bounds of memory and time, however large the network."""

import pytest

from edge_mri.model.contract import Contract
from edge_mri.terminal.progress import NoProgress
from edge_mri_export.guard.answers import checkpoint_answers
from edge_mri_export.guard.calibration import load_images
from edge_mri_export.int8 import search as searching
from edge_mri_export.int8.recipe import QuantizationConfig
from edge_mri_export.int8.search import Search


@pytest.fixture
def search(small, phantoms, body_of):
    checkpoint = small.checkpoint
    spec = checkpoint.preprocess
    images = load_images(phantoms, small.path, spec, NoProgress())
    return Search(
        body_of(checkpoint),
        images,
        checkpoint_answers(checkpoint, images.check.pixels),
        Contract("small", checkpoint.labels, spec),
        spec,
        QuantizationConfig("int8"),
        100.0,
        NoProgress(),
    )


def test_trials_that_cannot_be_kept_let_their_graphs_go(search):
    best = search.run()
    holding = [one for one in search.trials if one.model.graph.node or one.body.graph.node]
    assert len(search.trials) > 10
    assert len(holding) <= 3
    assert best in holding
    assert all(one.layers == (8, 8) for one in search.trials)


def test_trials_of_a_large_network_see_fewer_images(search, monkeypatch):
    monkeypatch.setattr(searching, "images_within", lambda work, most: min(most, 12))
    search.run()
    assert {one.parity.n for one in search.trials} == {12}
    assert "a trial is measured on 12 of 48 check images, the file on all" in search.notes
