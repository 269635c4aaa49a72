"""The mean of runs, as benchmarks/studies/release/average.py makes it of the packaged model's."""

import importlib.util
from pathlib import Path

import pytest
import torch

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.manifest import read_manifest
from edge_mri_train.networks.checkpoint import Checkpoint
from edge_mri_train.training.run import train

SCRIPT = Path(__file__).parents[3] / "benchmarks/studies/release/average.py"
SPEC = importlib.util.spec_from_file_location("average", SCRIPT)
average = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(average)


@pytest.fixture
def runs(tiny, tmp_path):
    """Two runs of different lengths, divided alike."""
    folders = [tmp_path / name for name in ("short", "long")]
    for epochs, folder in enumerate(folders, start=1):
        train(tiny(epochs=epochs), folder, NoProgress())
    return folders


def test_the_mean_of_two_runs_is_a_run(runs, tmp_path):
    average.average(runs, tmp_path / "mean", 0.9)
    first, second, mean = (
        Checkpoint.load(folder / "checkpoint.pt") for folder in (*runs, tmp_path / "mean")
    )
    weights = [one.network.state_dict()["classifier.1.weight"] for one in (first, second, mean)]
    torch.testing.assert_close((weights[0] + weights[1]) / 2, weights[2])
    assert (mean.training["mean_of"], mean.training["config"]["specificity"]) == ([1, 2], 0.9)
    assert mean.tumor_threshold == mean.training["validation"]["tumor_threshold"]
    divided = [[(row.sha256, row.sample.split) for row in read_manifest(one / "split.csv")]
               for one in (runs[1], tmp_path / "mean")]  # fmt: skip
    assert divided[0] == divided[1]
    halves = torch.load(tmp_path / "mean" / "weights.pt", weights_only=True)
    assert halves["classifier.1.weight"].dtype == torch.float16


def test_what_a_run_learned_from_cannot_validate_the_mean(tiny, runs, tmp_path):
    train(tiny(epochs=1, seed=5), tmp_path / "other", NoProgress())
    with pytest.raises(SystemExit, match=r"^\d+ images validate, and a run learned from them$"):
        average.average([runs[0], tmp_path / "other"], tmp_path / "mean", None)
    assert not (tmp_path / "mean").exists()
