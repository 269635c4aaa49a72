"""Pasted lesions: what is pasted, and what a model's answers come to."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import measure_pasting
import model_card
from edge_mri.answers.decision import Answers
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import draw_phantom
from edge_mri.terminal.progress import NoProgress
from edge_mri_train.data.folders import read_folders
from edge_mri_train.data.manifest import Row, hash_files, with_split, write_manifest
from edge_mri_train.evaluation.predictor import Predictor

SPACE = LabelSpace()
MODEL = Path(__file__).parents[3] / "runtime/edge_mri/models/edge_mri_int8.onnx"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Six heads with an outlined lesion and the same six without, all validating."""
    folder = tmp_path_factory.mktemp("set")
    labels = {one.type: one for one in SPACE.classes if one.plane == "axial"}
    for index in range(6):
        pair = [
            draw_phantom(labels[name], size_px=96, seed=3, index=index)
            for name in ("glioma", "no_tumor")
        ]
        mask = (cv2.absdiff(*pair) > 25).astype(np.uint8) * 255
        for name, image in (("glioma", pair[0]), ("no_tumor", pair[1]), ("masks/glioma", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{index}.png"), image)
    return validating(folder)


def validating(folder: Path) -> Path:
    """Write a manifest that validates with all images of a folder."""
    samples = [one for one in read_folders([folder]) if "masks" not in one.path.parts]
    hashes = hash_files(samples, NoProgress())
    rows = [
        with_split(Row(sample, sha, f"g{at}"), "val")
        for at, (sample, sha) in enumerate(zip(samples, hashes, strict=True))
    ]
    write_manifest(rows, folder / "split.csv")
    return folder / "split.csv"


def looking(says) -> Predictor:
    """A model whose P(any tumour) is what a function says of each image."""

    def answers(pixels):
        tumor = np.array([says(one[0]) for one in pixels], np.float32)
        probabilities = np.zeros((len(pixels), len(SPACE.classes)), np.float32)
        probabilities[:, 0], probabilities[:, -1] = tumor, 1 - tumor
        return Answers(probabilities)

    return Predictor("it", SPACE, PreprocessSpec(96), answers, 0.5, None, None)


def test_only_slices_without_a_tumour_get_a_lesion_and_keep_the_rest(manifest):
    before, after, sets = measure_pasting.pasted(manifest, PreprocessSpec(96), 0)
    assert 3 <= len(before) == len(after) == len(sets) <= 6
    changed = (before.astype(int) != after).reshape(len(before), -1).mean(axis=1)
    assert (changed > 0).all()
    assert changed.max() < 0.5
    again = measure_pasting.pasted(manifest, PreprocessSpec(96), 0)[1]
    assert np.array_equal(after, again)


def test_who_sees_the_lesion_and_who_reads_the_frame(manifest):
    before, after, sets = measure_pasting.pasted(manifest, PreprocessSpec(96), 0)
    originals = {one.tobytes() for one in before[:, 0]}
    seeing = looking(lambda image: 0.1 if image.tobytes() in originals else 0.9)
    part = measure_pasting.measured(seeing, before, after, sets)["all"]
    assert (part["n"], part["without"], part["with"], part["auroc"]) == (len(before), 0, 1, 1)
    blind = looking(lambda image: 0.7)
    part = measure_pasting.measured(blind, before, after, sets)["all"]
    assert (part["without"], part["with"], part["auroc"]) == (1, 1, 0.5)


def test_covered_lesions_are_gone_and_the_rest_is_as_it_was(tmp_path, capsys):
    down, across = np.mgrid[:160, :160] / 160
    tissue = 100 + 40 * np.cos(9 * np.abs(across - 0.5)) * np.sin(7 * down)
    head = np.where(np.hypot(down - 0.5, across - 0.5) < 0.44, tissue, 0).astype(np.uint8)
    for index, place in enumerate([(50, 60), (100, 80), (70, 110)]):
        mask = cv2.circle(np.zeros((160, 160), np.uint8), place, 9, 255, cv2.FILLED)
        for name, image in (("glioma", np.where(mask > 0, 240, head)), ("masks/glioma", mask)):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), image.astype(np.uint8))
    manifest, spec = validating(tmp_path), PreprocessSpec(160)
    sound, ill, sets = measure_pasting.covered(manifest, spec, 0)
    assert len(sound) == len(ill) == len(sets) == 3
    assert (ill.max(axis=(1, 2, 3)) > 230).all()
    assert (sound.max(axis=(1, 2, 3)) < 160).all()
    seeing = looking(lambda image: 0.9 if image.max() > 200 else 0.1)
    part = measure_pasting.measured(seeing, sound, ill, sets)["all"]
    assert (part["without"], part["with"], part["auroc"]) == (0, 1, 1)

    shutil.copy(MODEL, tmp_path / "m.onnx")
    figures = tmp_path / "figures"
    figures.mkdir()
    options = ["--manifest", str(manifest), "--json", str(figures / "pasting.json")]
    measure_pasting.main([str(tmp_path / "m.onnx"), *options])  # no slice to paste into
    (report,) = json.loads((figures / "pasting.json").read_text()).values()
    assert (report["pasted"], report["covered"]["all"]["n"]) == ({}, 3)
    assert "  covered all            n 3: called tumour " in capsys.readouterr().out
    assert "| covered | all | 3 | " in model_card.card(tmp_path / "m.onnx", figures)


def test_where_no_lesion_is_outlined_there_is_nothing_to_ask(tmp_path):
    (tmp_path / "glioma").mkdir()
    cv2.imwrite(str(tmp_path / "glioma/1.png"), np.full((96, 96), 90, np.uint8))
    with pytest.raises(SystemExit, match="or can be covered; give the manifest of a run with an"):
        measure_pasting.main([str(MODEL), "--manifest", str(validating(tmp_path))])


def test_the_table_the_json_and_the_card_say_it(manifest, tmp_path, capsys):
    shutil.copy(MODEL, tmp_path / "m.onnx")
    file = tmp_path / "pasting.json"
    measure_pasting.main(
        [str(tmp_path / "m.onnx"), "--manifest", str(manifest), "--json", str(file)]
    )
    (report,) = json.loads(file.read_text()).values()
    assert report["pasted"]["all"]["n"] >= 3
    told = capsys.readouterr().out
    assert f"  pasted  all            n {report['pasted']['all']['n']}: called tumour " in told
    part = report["pasted"]["all"]
    row = f"| pasted | all | {part['n']} | {100 * part['without']:.1f} ("
    assert row in model_card.card(tmp_path / "m.onnx", tmp_path)
