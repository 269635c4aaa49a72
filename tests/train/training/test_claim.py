"""Two trainings into one folder: the second is refused in a line, however the first ends."""

import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri.errors import OutputError
from edge_mri_train.errors import RunFolderError
from edge_mri_train.training.claim import claimed

HOLD = """
import sys
from pathlib import Path
from edge_mri_train.training.claim import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder `run`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_training_is_refused_in_a_line_until_the_first_is_killed(
    other, phantoms, tmp_path
):
    run = ("train", "--data", str(phantoms), "--arch", "squeezenet1_1", "--init-weights", "none",
           "--image-size", "32", "--epochs", "1", "--out", str(tmp_path / "run"))  # fmt: skip
    result = CliRunner().invoke(main, run)
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: another training writes into {tmp_path}/run; wait for its end, or choose another "
        "--out\n",
    )
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert CliRunner().invoke(main, run).exit_code == 0


def test_a_resumed_run_is_claimed_too(finished):
    with claimed(finished):
        result = CliRunner().invoke(main, ["train", "--resume", "--out", str(finished)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: another training writes into {finished}; ")
    assert CliRunner().invoke(main, ["train", "--resume", "--out", str(finished)]).exit_code == 0


def test_another_name_of_the_folder_is_the_same_folder(tmp_path):
    (tmp_path / "link").symlink_to("run")
    with (
        claimed(tmp_path / "run"),
        pytest.raises(RunFolderError, match="another training writes"),
        claimed(tmp_path / "link"),
    ):
        pytest.fail("held twice")


def test_what_is_left_empty_goes_with_the_folders_made_for_it(tmp_path):
    with claimed(tmp_path / "runs" / "a" / "b"):
        assert (tmp_path / "runs" / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    with claimed(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "config.json").touch()
    assert (tmp_path / "runs" / "a" / "config.json").exists()


@pytest.mark.parametrize("name", ["x" * 300, "file", "file/below"])
def test_a_folder_that_cannot_be_is_told_before_any_image_is_read(name, phantoms, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), claimed(tmp_path / name):
        pytest.fail("held")
    result = CliRunner().invoke(
        main, ["train", "--data", str(phantoms), "--init-weights", "none", "--out",
               str(tmp_path / name)],
    )  # fmt: skip
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: cannot write {tmp_path / name}: ")
    assert result.stderr.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
