"""The commands of docs/scale.md, run as they stand against an S3 server."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra [ray]")
pytest.importorskip("s3fs", reason="needs the extra [cloud]")
pytest.importorskip("pyarrow.dataset", reason="needs the extra [cloud]")

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(phantoms, s3, tmp_path) -> Path:
    """A bucket of images, a bucket for answers, and the same images here."""
    files = {one.relative_to(phantoms): one.read_bytes() for one in phantoms.rglob("*.png")}
    s3.store("scans", {f"2024/{path}": data for path, data in files.items()})
    s3.store("answers", {})
    for path, data in files.items():
        (tmp_path / "scans" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / path).write_bytes(data)
    return tmp_path


def read_as_it_says(folder: Path) -> list[dict[str, object]]:
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    named: dict[str, list[dict[str, object]]] = {}
    exec(code.replace('"answers/"', repr(f"{folder}/answers/")), named)
    return named["records"]


def test_parts_without_a_box_and_with_one_are_read_as_it_says(tmp_path):
    (tmp_path / "answers").mkdir()
    rows = [{"path": "a.png", "box": None}, {"path": "b.png", "box": [1, 2, 3, 4]}]
    for number, row in enumerate(rows):
        (tmp_path / "answers" / f"part-{number}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "answers" / "_edge_mri.json").write_text("{}")
    assert sorted(read_as_it_says(tmp_path), key=str) == rows


def test_its_commands_do_what_it_says(folder, s3):
    (commands,) = (text for kind, text in BLOCKS if kind == "sh")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    install, *lines = commands.splitlines()
    assert install == "pip install 'edge-mri[cloud,ray]'"
    assert len(lines) == 8
    for line in lines:
        program, *options = shlex.split(line, comments=True)
        assert program == "edge-mri"
        ended = subprocess.run(
            [sys.executable, "-m", "edge_mri", *options],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        if "csv" in options:
            assert len(ended.stdout.splitlines()) == 1 + 16
        if "--resume" in options:
            assert "48 files had their records before" in ended.stderr
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 48
    here, there = s3.contents("answers", "2024/"), s3.contents("answers", "ray/")
    assert [Path(one).name for one in here] == [Path(one).name for one in there]
    read = {row["path"]: row["status"] for row in read_as_it_says(folder)}
    lines = (folder / "answers.jsonl").read_text().splitlines()
    statuses = {one["path"]: one["status"] for one in map(json.loads, lines)}
    assert {
        f"s3://scans/2024/{Path(one).relative_to('scans')}": two for one, two in read.items()
    } == (statuses)
