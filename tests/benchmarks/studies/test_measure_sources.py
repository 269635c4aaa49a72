"""Figures by source, from answers whose areas are known."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_mri.labels import Label, LabelSpace
from edge_mri_train.data.folders import Sample

SCRIPT = Path(__file__).parents[3] / "benchmarks/studies/accuracy/measure_sources.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("measure_sources", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def samples(name: str, label: Label, count: int, contrast: str = "") -> list[Sample]:
    tags = {"contrast": contrast} if contrast else {}
    return [Sample(Path(name), Path(f"{n}.png"), label, tags=tags) for n in range(count)]


def test_a_large_source_does_not_decide_for_all(script):
    glioma, none = Label("glioma"), Label("no_tumor")
    told = [
        *samples("a", glioma, 20, "t1"),
        *samples("a", glioma, 10, "t2"),
        *samples("a", none, 500),
        *samples("b", none, 10),
        *samples("c", none, 3),
        *samples("c", Label(("meningioma", "pituitary")), 5),
        *samples("c", Label(LabelSpace().types), 5),
    ]
    p = np.concatenate(
        [[0.9] * 20, [0.5] * 5, [0.9] * 5, [0.1] * 500, [0.7] * 10, [0.2] * 3, [0.9] * 10]
    ).astype(np.float32)
    figures = script.measured(p, told, LabelSpace(), 0.6, "contrast", np.arange(len(told)) < 30)
    assert (figures["unseen"]["tumors"]["n"], figures["all"]["tumors"]["n"]) == (30, 35)
    found = {(one["set"], one["part"]): one for one in figures["tumors"]}
    assert found["a", "t1"]["auroc"] == 1
    assert found["a", "t2"]["auroc"] == pytest.approx((1 + 0.5) / 2)  # half above b's, none below
    assert (found["a", "t2"]["share"], found["a", "t2"]["n"]) == (0.5, 10)
    assert found["c", ""]["n"] == 5  # a label that may mean none says nothing
    free = {one["set"]: one for one in figures["free"]}
    assert (free["b"]["share"], free["a"]["share"], free["c"]["n"]) == (0, 1, 3)


def test_only_what_a_manifest_gives_to_validation_counts_of_the_sets_in_it(
    script, phantoms, tmp_path, mapped, capsys
):
    from edge_mri.cli import main

    for name in ("held", "other"):
        shutil.copytree(phantoms, tmp_path / name)
    sets = tmp_path / "sets.toml"
    sets.write_text('[[set]]\nfolder = "held"\n[[set]]\nfolder = "other"\n')
    manifest, out = tmp_path / "split.csv", tmp_path / "figures.json"
    with pytest.raises(SystemExit):
        main(["split", str(tmp_path / "held"), "--out", str(manifest)])
    model = str(mapped())
    script.main([model, str(sets), "--manifest", str(manifest), "--json", str(out)])
    figures = json.loads(out.read_text())
    n = {"held": 0, "other": 0}
    for one in [*figures["tumors"], *figures["free"]]:
        n[one["set"]] += one["n"]
    files = len(list(phantoms.glob("*/*.png")))
    assert n["other"] == files
    assert 0 < n["held"] < files
    unseen = figures["unseen"]
    assert unseen["tumors"]["n"] + unseen["free"]["n"] == files
    assert "operating point" in capsys.readouterr().out
