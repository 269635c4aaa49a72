import os

import pytest

from edge_mri_train.errors import RunFolderError
from edge_mri_train.settings.runs import newest_run


def test_the_newest_is_the_one_whose_file_is_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["b", "c", "a"]):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").touch()
        os.utime(tmp_path / "runs" / name / "config.json", (1000 - age, 1000 - age))
    assert newest_run().name == "b"
    (tmp_path / "runs" / "c" / "checkpoint.pt").touch()
    assert newest_run("checkpoint.pt").name == "c"


def test_without_a_run_it_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFolderError) as caught:
        newest_run("checkpoint.pt")
    assert str(caught.value) == (
        "no runs/*/checkpoint.pt here; start with `edge-mri train --data DIR`"
    )
