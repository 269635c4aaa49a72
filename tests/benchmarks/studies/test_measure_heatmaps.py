"""The script that scores heatmaps, on images whose answer is known: bright squares."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from outlined import chance, distance, iou, outline_box

SCRIPTS = Path(__file__).parents[3] / "benchmarks/studies/lesions"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "measure_heatmaps", SCRIPTS / "measure_heatmaps.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SQUARE = np.float32([[10, 20], [30, 20], [30, 40], [10, 40]])


@pytest.mark.parametrize(
    ("point", "expected"), [((20.0, 30.0), -10), ((10.0, 30.0), 0), ((33.0, 44.0), 5)]
)
def test_the_distance_to_an_outline_is_negative_inside(point, expected):
    assert distance(SQUARE, point) == pytest.approx(expected)


def test_boxes_are_compared_by_intersection_over_union():
    assert outline_box(SQUARE) == (10, 20, 20, 20)
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (20, 20, 5, 5)) == 0


def test_chance_is_the_share_of_the_head_inside_the_outline():
    image = np.zeros((100, 100), np.uint8)
    image[:50] = 200
    inside, near = chance(SQUARE, image)
    assert inside == pytest.approx(21 * 21 / 5000)
    assert near > inside


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A folder in which the model is right about two images of three."""
    outlines = {}
    for number, drawn in enumerate([(32, 16), (8, 40), (40, 8)]):
        image = np.full((64, 64), 30, np.uint8)
        x, y = drawn
        image[y : y + 16, x : x + 16] = 255
        file = tmp_path / f"glioma/{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        if number == 2:
            x, y = 8, 8  # an outline elsewhere
        outlines[f"glioma/{number}.png"] = [[x, y], [x + 16, y], [x + 16, y + 16], [x, y + 16]]
    (tmp_path / "outlines.json").write_text(json.dumps(outlines))
    return tmp_path


def test_a_model_is_scored_where_the_answer_is_known(script, squares, mapped, tmp_path, capsys):
    found = tmp_path / "found.json"
    script.main(
        [str(mapped()), "--data", str(squares), "--all", "--networks", "1", "--json", str(found)]
    )
    values = json.loads(found.read_text())
    assert (values["which"], values["map"]) == ("all", "lesion")
    assert (values["images"], values["left_out"]) == (3, 0)
    assert values["all"]["n"] == values["glioma"]["n"] == 3
    assert values["all"]["peak_0px"] == values["all"]["peak_5px"] == pytest.approx(2 / 3)
    assert values["all"]["box"] == pytest.approx(2 / 3)
    assert values["all"]["chance_0px"] < 0.1
    # Its map comes from no weight at all, and survives: that is what the check is for.
    assert values["sanity"]["mean_correlation"] == pytest.approx(1)
    assert "3 of 3 images, map from `lesion`" in capsys.readouterr().out


def test_images_that_a_manifest_gives_to_validation_are_kept(script, squares, mapped, tmp_path):
    manifest, found = tmp_path / "split.csv", tmp_path / "found.json"
    lines = ["set,path,sha256,type,plane,group,split"]
    for number, split in enumerate(("val", "train", "val")):
        lines.append(f".,glioma/{number}.png,{number:064x},glioma,,g{number},{split}")
    manifest.write_text("\n".join(lines) + "\n")
    asked = [str(mapped()), "--data", str(squares), "--manifest", str(manifest)]
    script.main([*asked, "--fractions", "--networks", "1", "--json", str(found)])
    values = json.loads(found.read_text())
    assert (values["which"], values["all"]["n"], values["left_out"]) == ("validation", 2, 1)
    # Of the two kept, one has its outline elsewhere: no height makes that box right.
    assert max(values["fractions"]["shares"].values()) == pytest.approx(1 / 2)
    assert len(values["fractions"]["chosen_by_halves"]) == 2


def test_a_model_without_a_map_or_a_memory_is_refused(script, squares, mapped, capsys):
    for model, reason in (
        (mapped(map_output=None), "has neither a lesion map nor a cam output"),
        (mapped(), "bright.seen is missing: give --seen, or --all to keep training images"),
    ):
        with pytest.raises(SystemExit):
            script.main([str(model), "--data", str(squares)])
        assert reason in capsys.readouterr().err
