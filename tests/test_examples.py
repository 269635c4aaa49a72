"""What lies in examples/ runs, and does what it shows."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_mri.answers.decision import Answers, decide
from edge_mri.answers.prediction import softmax
from edge_mri.classifier import SHIPPED_MODEL
from edge_mri.images.preprocess import PreprocessSpec, preprocess
from edge_mri.labels import LabelSpace
from edge_mri.model.rejection import Rejection

EXAMPLES = Path(__file__).parents[1] / "examples"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_the_notebook_runs(tmp_path):
    """Its cells in order, in one fresh process: no kernel is needed for what they do."""
    notebook = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "maps").glob("*.png"))) == 4
    assert not any(cell.get("outputs") for cell in notebook["cells"])


def test_the_watcher_answers_what_appears(phantoms, tmp_path):
    (tmp_path / "inbox").mkdir()
    for number, file in enumerate(sorted(phantoms.rglob("*.png"))[:3]):
        shutil.copy(file, tmp_path / "inbox" / f"{number}.png")
    (tmp_path / "inbox" / "broken.png").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "watch_folder.py", "inbox", "--once"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(records) == 4
    assert [one["path"] for one in records if one["status"] == "error"] == ["inbox/broken.png"]


def test_the_flask_application_answers(phantoms):
    pytest.importorskip("flask", reason="needs flask")
    spec = importlib.util.spec_from_file_location("flask_app", EXAMPLES / "flask_app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    client = module.app.test_client()
    with min(phantoms.rglob("*.png")).open("rb") as file:
        answer = client.post("/classify", data={"file": file})
    assert answer.status_code == 200
    assert answer.json["plane"] in ("axial", "coronal", "sagittal")
    assert client.post("/classify").status_code == 400


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_preprocessing_in_cpp_gives_the_same_pixels(tmp_path):
    program = tmp_path / "prepare"
    source = EXAMPLES / "cpp" / "prepare.cpp"
    options = ("-std=c++17", "-O1", "-Wall", "-Werror")
    subprocess.run(["g++", *options, source, "-o", program], check=True)
    rng = np.random.default_rng(0)
    for height, width in ((512, 512), (160, 160), (300, 471), (90, 61), (641, 333)):
        image = cv2.GaussianBlur(rng.integers(0, 256, (height, width)).astype(np.uint8), (5, 5), 0)
        pgm = b"P5\n%d %d\n255\n" % (width, height) + image.tobytes()
        out = subprocess.run([program, "160"], input=pgm, capture_output=True, check=True).stdout
        theirs = np.frombuffer(out, np.uint8).reshape(1, 160, 160).astype(int)
        ours = preprocess(image, PreprocessSpec(160)).astype(int)
        assert np.abs(theirs - ours).max() <= 1


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("max_foreign", [None, 0.5])
def test_the_page_for_the_browser_decides_and_rejects_by_the_contract(max_foreign, tmp_path):
    rng = np.random.default_rng(0)
    space = LabelSpace.for_task("type-plane")
    rejection = Rejection(2.0, (0.3, 0.7), kept=0.9, n=100, max_foreign=max_foreign)
    logits, novelty, foreign = (
        rng.normal(0, 2, (100, 12)),
        rng.uniform(1, 3, 100),
        rng.normal(size=100),
    )
    answers = Answers(
        softmax(logits.astype(np.float32), 0.8),
        novelty=novelty.astype(np.float32),
        foreign=None if max_foreign is None else foreign.astype(np.float32),
    )
    said = decide(answers, space, 0.6, rejection)
    reasons = np.select(
        [said.foreign, said.unfamiliar, said.undecided],
        ["foreign", "unfamiliar", "undecided"],
        "none",
    )
    expected = [[space.types[t], r] for t, r in zip(said.types, reasons, strict=True)]
    contract = {
        "labels": space.to_dict(), "temperature": 0.8, "tumor_threshold": 0.6,
        "rejection": rejection.to_dict(),
    }  # fmt: skip
    rows = [
        [one.tolist(), float(new), None if answers.foreign is None else float(far)]
        for one, new, far in zip(logits, novelty, foreign, strict=True)
    ]
    shutil.copy(EXAMPLES / "browser" / "classify.js", tmp_path / "classify.mjs")
    (tmp_path / "ask.mjs").write_text(
        f"""import {{ decide }} from "./classify.mjs";
        const contract = {json.dumps(contract)};
        const records = {json.dumps(rows)}.map((row) => decide(...row, contract));
        console.log(JSON.stringify(records.map((one) => [one.type, one.rejected ?? "none"])));"""
    )
    told = subprocess.run(["node", tmp_path / "ask.mjs"], capture_output=True, check=True).stdout
    assert json.loads(told) == expected
    assert {"none", "undecided", "foreign"} <= {reason for _, reason in expected}


def test_the_page_for_the_browser_answers_as_the_command_line(tmp_path):
    ort = os.environ.get("EDGE_MRI_ORT_WEB")
    if ort is None or shutil.which("chromium") is None:
        pytest.skip("needs chromium, and EDGE_MRI_ORT_WEB: dist/ of onnxruntime-web")
    assert SHIPPED_MODEL.is_file()
    done = subprocess.run(
        [sys.executable, EXAMPLES / "browser" / "check.py", "--ort", ort],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
