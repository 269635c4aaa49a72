"""A run's folder stands for its best checkpoint, wherever a command takes one."""

import shutil

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri_train.errors import RunFolderError
from edge_mri_train.settings.runs import checkpoint_file


def run(*arguments: object):
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.mark.parametrize(
    "command",
    [
        ("export", "RUN"),
        ("evaluate", "RUN", "--data", "SET", "--compare", "RUN"),
        ("train", "--data", "SET", "--image-size", 32, "--epochs", 1, "--init-weights", "RUN",
         "--distill", "RUN", "--out", "OUT"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_folder_of_a_run_is_taken_for_its_checkpoint(command, finished, phantoms, tmp_path):
    if command[0] == "export":
        pytest.importorskip("onnxscript", reason="exports")
    folder = shutil.copytree(finished, tmp_path / "run")
    names = {"RUN": folder, "SET": phantoms, "OUT": tmp_path / "out"}
    result = run(*(names.get(part, part) for part in command))
    assert result.exit_code == 0, result.output
    if command[0] == "export":
        assert (folder / "model.onnx").is_file()


@pytest.mark.parametrize(
    "command",
    [("export", "DIR"), ("evaluate", "DIR", "--data", "SET"),
     ("train", "--data", "SET", "--init-weights", "DIR", "--out", "OUT"),
     ("train", "--data", "SET", "--init-weights", "none", "--distill", "DIR", "--out", "OUT")],
)  # fmt: skip
def test_another_folder_says_which_file_to_name(command, phantoms, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("b.onnx", "a.pt", "notes.txt"):
        (folder / name).touch()
    names = {"DIR": folder, "SET": phantoms, "OUT": tmp_path / "out"}
    result = run(*(names.get(part, part) for part in command))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"Error: {folder} is a folder without checkpoint.pt; expected the folder of a run, or a "
        "file such as a.pt, b.onnx in it"
    )


def test_a_folder_that_holds_no_model_names_none(tmp_path):
    with pytest.raises(RunFolderError, match=r"expected the folder of a run, or a file$"):
        checkpoint_file(tmp_path)
