"""`edge-mri audit` and `evaluate` on a bucket find what they find in the same folders here."""

import json
import shutil

import pytest
from click.testing import CliRunner

from edge_mri.cli import main

pytest.importorskip("s3fs", reason="needs the extra [cloud]")

BUCKET = "s3://labelled/set"


def run(*arguments: object):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def folder(phantoms, tmp_path):
    """Training and test folders, a phantom in both, a broken one, and a MAT file."""
    for number, file in enumerate(sorted(phantoms.rglob("*.png"))):
        side = "test" if number % 4 == 0 else "train"
        target = tmp_path / "set" / side / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    twice = min((tmp_path / "set/train").rglob("*.png"))
    shutil.copy(twice, tmp_path / "set/test" / twice.parent.name / "again.png")
    (tmp_path / "set/train/glioma_axial/notes.mat").write_bytes(b"notes")
    return tmp_path / "set"


@pytest.fixture
def bucket(s3, folder):
    files = (one for one in folder.rglob("*") if one.is_file())
    s3.store("labelled", {f"set/{one.relative_to(folder)}": one.read_bytes() for one in files})
    return BUCKET


def both(folder, bucket, tmp_path, *options):
    """The reports of a folder and a bucket, with the same paths."""
    for place, name in ((folder, "here"), (bucket, "there")):
        json_file, page = tmp_path / f"{name}.json", tmp_path / f"{name}.html"
        result = run(*options, place, "--json", json_file, "--html", page)
        assert result.exit_code == 0, result.output
        assert page.stat().st_size > 10_000
    there = (tmp_path / "there.json").read_text().replace(bucket, str(folder))
    return json.loads((tmp_path / "here.json").read_text()), json.loads(there)


def test_an_audit(folder, s3, bucket, tmp_path):
    broken = b"no image"
    (folder / "train/glioma_axial/broken.png").write_bytes(broken)
    s3.store("labelled", {"set/train/glioma_axial/broken.png": broken})
    here, there = both(folder, bucket, tmp_path, "audit")
    assert there == here
    assert there["images"] == 49
    assert there["leakage"]["exact"] == 1
    assert [one["reason"] for one in there["unreadable"]]
    assert there["passed_over"] == {
        ".mat": {"files": 1, "first": f"{folder}/train/glioma_axial/notes.mat"}
    }


def test_an_evaluation(folder, bucket, tmp_path):
    here, there = both(folder, bucket, tmp_path, "evaluate", "--data")
    assert there == here
    assert there["asked"] == 13


def test_an_index_of_a_bucket(bucket, tmp_path):
    rows = ["path,label", "train/glioma_axial/phantom-0002.png,glioma", "gone.png,pituitary"]
    (tmp_path / "index.csv").write_text("\n".join(rows))
    result = run("evaluate", "--data", bucket, "--index", tmp_path / "index.csv")
    assert result.exit_code == 2
    assert "1 of its files are not below s3://labelled/set, the first is gone.png" in result.output


def test_other_commands_want_folders(bucket, tmp_path):
    result = run("split", bucket, "--out", tmp_path / "m.csv")
    assert (result.exit_code, result.output.splitlines()[-1]) == (
        2,
        f"Error: DIR…|SETS.toml is {bucket}; expected a path of this machine (a folder whose name "
        "looks like that: behind ./)",
    )


def test_what_cannot_be_reached(bucket):
    result = run("audit", "s3://labelled/gone")
    assert (result.exit_code, result.output) == (
        2,
        "Error: no such file or folder: s3://labelled/gone\n",
    )
