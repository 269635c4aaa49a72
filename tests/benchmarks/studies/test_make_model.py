"""The packaged model's partition, laid over the sets as a user has them."""

import csv
import gzip
import hashlib
import importlib.util
from pathlib import Path

import pytest

from edge_mri import Classifier
from edge_mri_train.data.manifest import read_manifest

SCRIPT = Path(__file__).parents[3] / "benchmarks/studies/release/make_model.py"
SPEC = importlib.util.spec_from_file_location("make_model", SCRIPT)
make_model = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_model)
HEADER = "set,path,type,plane,group,split\n"


@pytest.fixture
def making(tmp_path, monkeypatch):
    """A partition of two sets, of an image each, and what makes a model of it."""
    data, here = tmp_path / "data", tmp_path / "here"
    here.mkdir()
    monkeypatch.setattr(make_model, "HERE", here)
    rows = "one,a/b.jpg,glioma,axial,0,train\ntwo,c.jpg,no_tumor,,1,val\n"
    with gzip.open(here / "partition.csv.gz", "wt", encoding="utf-8") as file:
        file.write(HEADER + rows)
    for path in ("one/a/b.jpg", "two/c.jpg"):
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_bytes(path.encode())
    made = make_model.Making(data, tmp_path / "out")
    return lambda *without: made._divide(tmp_path / "out" / "split.csv", without)


def test_the_manifest_is_the_partition_with_the_sets_where_they_lie(making, tmp_path):
    making()
    found = read_manifest(tmp_path / "out" / "split.csv")
    assert [row.sample.file.resolve() for row in found] == [
        tmp_path / "data/one/a/b.jpg",
        tmp_path / "data/two/c.jpg",
    ]
    assert [row.sample.split for row in found] == ["train", "val"]
    assert found[0].sha256 == hashlib.sha256(b"one/a/b.jpg").hexdigest()


def test_a_set_that_is_left_out_is_not_in_it(making, tmp_path):
    making("two")
    assert [row.group for row in read_manifest(tmp_path / "out" / "split.csv")] == ["0"]
    with pytest.raises(SystemExit, match=r"^no such set: three$"):
        making("three")


@pytest.mark.parametrize(
    ("without", "runs"),
    [((), ["run-36-f44", "run-16", "run-36"]), (("f44",), ["run-36-f44", "run-16-f44"])],
)
def test_a_model_is_the_mean_of_runs_and_a_twin_of_those_without(
    tmp_path, monkeypatch, without, runs
):
    made = make_model.Making(tmp_path, tmp_path / "out", without=without)
    commands, divided = [], {}
    monkeypatch.setattr(
        made, "_divide", lambda path, left_out: divided.update({path.stem: left_out})
    )
    monkeypatch.setattr(made, "_run", lambda *words: commands.append(list(map(str, words))))
    made._train(tmp_path / "out" / "run")
    *trainings, mean = commands
    assert [Path(one[-1]).name for one in trainings] == runs
    assert [one[one.index("--epochs") + 1] for one in trainings] == [one[4:6] for one in runs]
    assert divided == {one: ["f44"] if "f44" in one else [] for one in runs}
    assert [Path(one).name for one in mean[: len(runs) + 1]] == ["average.py", *runs]


def test_the_partition_that_ships_holds_what_the_packaged_model_says():
    with gzip.open(make_model.HERE / "partition.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = Classifier.load().contract.training["images"]
    assert {side: sum(row["split"] == side for row in rows) for side in images} == images
    sides = {}
    for row in rows:
        if row["split"] in images:
            assert sides.setdefault(row["group"], row["split"]) == row["split"]
