import os
import subprocess
import sys

import torch

from edge_mri_train.checkpoint import load_state
from edge_mri_train.ranks import Ranks, joined

OPTIONS = (
    "--arch", "artemis_cnn", "--init-weights", "none", "--image-size", "96", "--epochs", "2",
    "--batch-size", "8", "--device", "cpu", "--seed", "3",
)  # fmt: skip


def test_alone_without_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks == Ranks()
        assert ranks.is_first
        assert ranks.agree(True)
        assert not ranks.agree(False)


def test_two_processes_learn_what_one_does(phantoms, tmp_path):
    """The network has neither norms nor dropout: only the order of sums may differ.

    A step of Adam is about the learning rate, 1e-3, however small the gradient.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
    }
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, starter in (("one", ()), ("two", torchrun)):
        run = (sys.executable, *starter, "-m", "edge_mri_train", "--data", str(phantoms), *OPTIONS)
        subprocess.run(
            [*run, "--out", str(tmp_path / name)],
            env=environment,
            check=True,
            capture_output=True,
            timeout=240,
        )
    one, two = (load_state(tmp_path / name / "last.pt") for name in ("one", "two"))
    assert len(one["history"]) == len(two["history"]) == 2
    torch.testing.assert_close(one["network"], two["network"], rtol=0, atol=2e-4)
