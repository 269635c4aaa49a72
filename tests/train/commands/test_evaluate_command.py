import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from edge_mri.classifier import SHIPPED_MODEL
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
    assert (
        "\nanswered: 48 of 48 images, 100.00 (92.6-100.0) %; rejected as foreign 0, as "
        "unfamiliar 0, as undecided 0; all other figures are those of the answered images, "
        "tumour from P(any tumour) = 0.5\n"
    ) in result.stdout
    for axis in ("type", "plane", "joint"):
        low, high = (f"{100 * end:.1f}" for end in written[axis]["ci95"])
        accuracy = f"{axis}: accuracy {100 * written[axis]['accuracy']:.2f} ({low}-{high}) %"
        assert accuracy in result.stdout
    area = written["tumor"]["auroc"]
    assert f"\ntumour against none: AUROC {area:.4f} (" in result.stdout
    assert "% of the images labelled tumour are said to be none with 0.9 or more\n" in result.stdout
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
        (
            ".",
            "Error: . is a folder without checkpoint.pt; expected the folder of a run, or a file\n",
        ),
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


@pytest.fixture(scope="module")
def page(finished, phantoms, tmp_path_factory):
    """All of a page: three readings, figures by tag, a comparison, errors."""
    folder = tmp_path_factory.mktemp("page")
    lines = [
        f"{file.relative_to(phantoms)},{file.parent.name},{'<b>' if n % 2 else 't1'}"
        for n, file in enumerate(sorted(phantoms.glob("*/*.png")))
    ]
    (folder / "index.csv").write_text("\n".join(["path,label,contrast", *lines]))
    path = finished / "checkpoint.pt"
    result = run(
        path, "--data", phantoms, "--index", folder / "index.csv", "--by", "contrast",
        "--compare", path, "--html", folder / "page.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "\nby contrast:\n" in result.stdout
    assert "McNemar's exact p = 1" in result.stdout
    return folder / "page.html"


def test_the_page_stands_alone(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<[^>]*(?:src|href)=\"(?!data:|#)[^>]*>", text)
    assert not re.findall(r"url\((?!#|data:)", text)
    assert "<script" not in text
    assert "<td><b></td>" not in text
    assert text.count("<svg") == 2
    for part in ("By contrast", "duplicate-free", "The worst errors", "McNemar"):
        assert part in text


def test_the_page_opens_without_a_complaint(page, browser):
    assert browser(page) == ""


def test_a_page_of_one_image_of_one_type(finished, head, save, tmp_path, browser):
    save(tmp_path / "set é, one" / "no_tumor" / "a.png", head(3))
    result = run(
        finished / "checkpoint.pt", "--data", tmp_path / "set é, one",
        "--html", tmp_path / "page.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    assert browser(tmp_path / "page.html") == ""


def test_a_map_and_a_manifest_are_taken(finished, phantoms, type_only, tmp_path):
    result = run(
        finished / "checkpoint.pt", "--data", type_only, "--map", "glioma=skip",
        "--against", finished / "split.csv", "--json", tmp_path / "f.json",
    )  # fmt: skip
    assert result.exit_code == 0
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["n"] == 36
    assert written["training_images"] == "manifest split.csv, 48 images"
    assert written["subsets"]["duplicate_free"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--against", "gone.csv"), "the split manifest gone.csv cannot be used: No such file"),
        (("--by", "scanner"), "--by scanner: no image has this tag; known are none"),
        (("--compare", "gone.onnx"), "model file not found: gone.onnx"),
        (("--map", "x"), "--map 'x'; expected FOLDER=LABEL"),
        (("--index", "gone.csv"), "the index gone.csv cannot be used: No such file or directory"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(finished, phantoms, options, message):
    result = run(finished / "checkpoint.pt", "--data", phantoms, *options)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: {message}")


def test_a_damaged_memory_beside_an_onnx_file_is_refused(phantoms, tmp_path):
    shutil.copy(SHIPPED_MODEL, tmp_path / "model.onnx")
    (tmp_path / "model.seen").write_bytes(b"emriseen?")
    result = run(tmp_path / "model.onnx", "--data", phantoms)
    assert result.exit_code == 2
    assert "the memory of training images cannot be used" in result.stderr
