"""What becomes of a run when memory runs out over one of its images."""

import json
import sys

import cv2
import numpy as np
import pytest

from edge_mri.classifier import Classifier

SHORT_OF_MEMORY = """
import resource, sys
import edge_mri.inference, edge_mri.pictures.views
from edge_mri.classifier import Classifier
from edge_mri.cli import main

def load(*given, **options):
    classifier = loaded(*given, **options)
    with open("/proc/self/statm") as file:
        has_bytes = int(file.read().split()[0]) * resource.getpagesize()
    limit = has_bytes + 100 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return classifier

loaded, Classifier.load = Classifier.load, load
main(prog_name="edge-mri")
"""
NEXT_STEP = "fewer --threads and a smaller --batch-size need less"


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
def test_an_image_that_memory_does_not_suffice_for_is_an_error_and_the_rest_goes_on(
    process, tmp_path
):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, side_px in (("1", 64), ("2-draw", 2048), ("3-decode", 9_990), ("4", 64)):
        cv2.imwrite(str(folder / f"{name}.png"), np.zeros((side_px, side_px), np.uint8))
    options = ["--heatmaps", tmp_path / "heat", "--threads", "1", "--batch-size", "1"]
    ended = process("-c", SHORT_OF_MEMORY, "infer", folder, *options, "--format", "jsonl")
    assert ended.code == 1, ended.err
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert [record["status"] for record in records] == ["rejected", "error", "error", "rejected"]
    for record, verb in zip(records[1:3], ("draw", "decode"), strict=True):
        assert record["error"] == f"there is not enough memory to {verb} it; {NEXT_STEP}"
    drawn = {record["heatmap"] for record in (records[0], records[3])}
    assert {path.name for path in (tmp_path / "heat").iterdir()} == drawn


@pytest.mark.skipif(
    not hasattr(cv2, "imencodemulti"), reason="this OpenCV writes no pages into memory"
)
def test_the_page_that_memory_does_not_suffice_for_keeps_its_number(classifier, tmp_path):
    def finish(record, image, cells):
        if record.frame == 2:
            raise MemoryError
        return record

    path = tmp_path / "pages.tif"
    pages = [np.full((64, 64), 20, np.uint8)] * 3
    path.write_bytes(cv2.imencodemulti(".tif", pages)[1].tobytes())
    records = list(classifier.stream([path], finish=finish))
    assert [(record.frame, record.status == "error") for record in records] == [
        *((1, False), (2, True), (3, False)),
    ]


def test_another_fault_of_opencv_is_not_taken_for_it(classifier: Classifier, picture):
    def finish(record, image, cells):
        return cv2.resize(image, (0, 0))

    with pytest.raises(cv2.error):
        list(classifier.stream([picture], finish=finish))
