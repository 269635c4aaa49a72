import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from edge_mri.terminal.progress import NoProgress
from edge_mri_train.errors import RunFolderError
from edge_mri_train.training import history as run_history
from edge_mri_train.training.run import resume, train


class InterruptAt(NoProgress):
    """Presses Ctrl-C at a step of a bar."""

    def __init__(self, label: str, step: int) -> None:
        self.label, self.step = label, step

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Callable[[], None]]:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1
            if label == self.label and steps == self.step:
                raise KeyboardInterrupt

        yield step


@pytest.mark.parametrize(("label", "step"), [("epoch 1/3", 2), ("epoch 2/3", 3), ("epoch 3/3", 4)])
def test_a_run_killed_within_an_epoch_ends_as_if_it_had_not_been(
    tiny, tmp_path, finished, label, step, same_run, run_files
):
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", InterruptAt(label, step))
    resume(tmp_path / "run", NoProgress())
    same_run(finished, tmp_path / "run")
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == run_files


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_run_killed_while_it_writes_ends_as_if_it_had_not_been(
    tiny, tmp_path, finished, monkeypatch, epoch, same_run, run_files
):
    def interrupted(history, path):
        if len(history) == epoch:
            raise KeyboardInterrupt
        draw(history, path)

    draw = run_history.draw_curves
    monkeypatch.setattr(run_history, "draw_curves", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", NoProgress())
    monkeypatch.undo()
    resume(tmp_path / "run", NoProgress())
    same_run(finished, tmp_path / "run")
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == run_files


def test_a_run_with_a_teacher_goes_on_from_another_folder(
    tiny, tmp_path, finished, phantoms, monkeypatch
):
    monkeypatch.chdir(finished)
    data = os.path.relpath(phantoms)
    config = tiny(data=(data,), distill=("checkpoint.pt",), init_weights="checkpoint.pt", epochs=2)
    with pytest.raises(KeyboardInterrupt):  # before an epoch is whole: the start is read again
        train(config, tmp_path / "run", InterruptAt("epoch 1/2", 2))
    monkeypatch.chdir(tmp_path)
    assert resume(tmp_path / "run", NoProgress()).is_file()


def test_a_run_killed_before_it_began_leaves_nothing(tiny, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "run", InterruptAt("training images", 3))
    assert not (tmp_path / "run").exists()


def test_resuming_a_finished_run_changes_nothing(finished, tmp_path, run_files):
    shutil.copytree(finished, tmp_path / "run")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in run_files}
    assert resume(tmp_path / "run", NoProgress()) == tmp_path / "run" / "checkpoint.pt"
    assert {name: (tmp_path / "run" / name).read_bytes() for name in run_files} == before


def test_resuming_what_is_no_run_says_so(tmp_path):
    with pytest.raises(RunFolderError) as caught:
        resume(tmp_path, NoProgress())
    assert str(caught.value) == (
        f"{tmp_path}/config.json cannot be read: No such file or directory; expected in a folder "
        "that `edge-mri train` wrote"
    )


def test_a_run_without_its_memory_cannot_be_resumed(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "seen.bin").unlink()
    with pytest.raises(RunFolderError) as caught:
        resume(tmp_path / "run", NoProgress())
    assert str(caught.value) == (
        f"{tmp_path}/run/seen.bin cannot be read: No such file or directory; "
        "bring it back as it was, or start a new run"
    )
