import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from edge_mri.cli import main


def run(*arguments: object):
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_prints_every_axis_and_writes_the_same_as_json(finished, phantoms, tmp_path):
    file = tmp_path / "figures.json"
    result = run(finished / "checkpoint.pt", "--data", phantoms, "--json", file)
    assert result.exit_code == 0
    written = json.loads(file.read_text())
    assert result.stdout.startswith(
        "mobilenet_v2 (PyTorch): 48 images; training images known from what the model remembers, "
        "48 images\n"
    )
    for axis in ("type", "plane", "joint"):
        low, high = (f"{100 * end:.1f}" for end in written[axis]["ci95"])
        accuracy = f"{axis}: accuracy {100 * written[axis]['accuracy']:.2f} ({low}-{high}) %"
        assert accuracy in result.stdout
    assert "no_tumor_sagittal" in result.stdout
    assert result.stdout.endswith("For research use, not for diagnosis.\n")


def test_says_what_is_not_labelled(finished, type_only):
    result = run(finished / "checkpoint.pt", "--data", type_only)
    assert result.exit_code == 0
    assert "\nplane: not labelled, or not answered by this model\n" in result.stdout


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gone.pt", "Error: model file not found: gone.pt\n"),
        ("gone.onnx", "Error: model file not found: gone.onnx\n"),
        (".", "Error: model file not found: .\n"),
    ],
)
def test_a_missing_model_is_one_line_and_exit_code_2(phantoms, model, message):
    result = run(model, "--data", phantoms)
    assert (result.exit_code, result.stderr) == (2, message)


def test_a_missing_folder_is_one_line_and_exit_code_2(finished):
    result = run(finished / "checkpoint.pt", "--data", "gone")
    assert (result.exit_code, result.stderr) == (2, "Error: no such file or folder: gone\n")


def test_without_the_data_extra_it_says_what_to_type():
    """On a machine with the runtime alone; scikit-learn brings scipy, so both are missing."""
    script = (
        "import sys\n"
        "for name in ('sklearn', 'scipy', 'torch', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "from edge_mri.cli import main\n"
        "main(['evaluate', 'model.onnx', '--data', '.'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "pip install 'edge-mri[data]'" in result.stderr
