import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from edge_mri.errors import OptionError
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.learning.ranks import Ranks, joined
from edge_mri_train.networks.checkpoint import load_state
from edge_mri_train.training import run as training
from edge_mri_train.training.dividing import divided
from edge_mri_train.training.trainer import Trainer

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


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", "gloo"), ("auto", "nccl"), ("cuda", "nccl")]
)
def test_processes_on_cpus_talk_by_gloo_where_there_are_gpus_too(device, expected, monkeypatch):
    told = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", told.append)
    for name, value in (("get_rank", 0), ("get_world_size", 2), ("destroy_process_group", None)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    with joined(device):
        assert told == [expected]


@pytest.mark.parametrize("goes_on", [False, True])
def test_more_processes_than_images_in_a_batch_are_refused(goes_on, tiny, tmp_path, monkeypatch):
    @contextmanager
    def joined_by_four(device):
        yield Ranks(1, 4, 1)

    monkeypatch.setattr(training, "joined", joined_by_four)
    config = tiny(batch_size=3)
    config.write(tmp_path / "config.json")
    start = partial(training.train, config, tmp_path / "run")
    with pytest.raises(OptionError) as caught:
        (partial(training.resume, tmp_path) if goes_on else start)(NoProgress())
    assert str(caught.value) == (
        "4 processes share a batch of 3; expected an image for each: start 3 or fewer, or a run "
        "with a larger --batch-size"
    )
    Ranks(1, 4, 1).require_share(4)


def test_each_process_has_its_own_dropout_and_the_first_that_of_one_alone(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(Ranks, "wrap", lambda self, module, device: module)
    config = tiny(epochs=1)
    samples = [row.sample for row in divided(config, NoProgress()).rows]
    seeds = []
    for ranks in (Ranks(), Ranks(0, 2), Ranks(1, 2)):
        trainer = Trainer(config, samples, b"", tmp_path, NoProgress(), ranks)
        trainer.start()
        with monkeypatch.context() as patch:
            patch.setattr(torch, "manual_seed", seeds.append)
            trainer._train_epoch(1)
    alone, first, second = seeds
    assert alone == first == 1
    assert second not in range(2**53)


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
    torch.testing.assert_close(one["network"], two["network"], rtol=0, atol=1e-3)
