"""The commands of docs/serve.md, as they stand there."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra [serve]")


@pytest.fixture
def blocks(page) -> list[list[str]]:
    return [text.splitlines() for _, text in page("docs/serve.md").blocks("sh")]


@pytest.fixture
def folder(phantoms, tmp_path) -> Path:
    for name, path in zip(("scan.png", "other.png"), sorted(phantoms.rglob("*.png")), strict=False):
        shutil.copy(path, tmp_path / name)
    return tmp_path


def test_what_programs_ask_is_answered(service, folder, blocks):
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    lines = blocks[1]
    assert len(lines) == 5
    answers = []
    for line in lines:
        here = line.replace("http://127.0.0.1:8350/", service.url)
        assert here != line
        ended = subprocess.run(
            ["sh", "-c", here.replace("curl ", "curl -sS --fail ", 1)],
            cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        answers.append(ended.stdout)
    assert [one["path"] for one in json.loads(answers[0])] == ["scan.png", "other.png"]
    assert json.loads(answers[1])[0] == json.loads(answers[0])[0]
    assert json.loads(answers[2])[0]["heatmap"].startswith("data:image/png;base64,")
    assert json.loads(answers[3])["openapi"].startswith("3.")
    assert "edge_mri_files_total" in answers[4]


def test_other_machines_are_served_as_the_page_says(folder, environment, blocks):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    make, serve = blocks[2]
    subprocess.run(["sh", "-c", make], cwd=folder, check=True)
    words = serve.split()
    assert words[:2] == ["edge-mri", "serve"]
    command = [sys.executable, "-m", "edge_mri", *words[1:], "--port", "0"]
    log = folder / "log"
    with log.open("wb") as file:
        run = subprocess.Popen(command, cwd=folder, stderr=file, env=environment)
    until = time.monotonic() + 60
    while b"\n" not in log.read_bytes():
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=30) == 0
    assert log.read_text().startswith("edge-mri serves at http://0.0.0.0:")


def test_its_first_commands_are_those_of_this_version(command, page, blocks):
    install, serve = blocks[0]
    assert install.startswith("pip install 'edge-mri[serve]'")
    assert serve == "edge-mri serve"
    assert "http://127.0.0.1:8350" in page("docs/serve.md").text
    assert "[default: 8350;" in " ".join(command("serve", "--help").out.split())
