import csv
import json

import cv2
import numpy as np
import pytest

from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import AGREEING_SLICES, VolumeSummaries


def slice_(
    tumor: float,
    frame: int | None = 1,
    path: str = "a.nii",
    series: str | None = None,
    type_: str = "glioma",
    plane: str = "axial",
) -> Prediction:
    """A slice that says a tumour from 0.5."""
    said = type_ if tumor >= 0.5 else "no_tumor"
    probabilities = {"glioma": 0.0, "meningioma": 0.0, "pituitary": 0.0}
    probabilities |= {type_: tumor, "no_tumor": 1 - tumor}
    return Prediction(path, "ok", said, plane, probabilities, None, frame=frame, series=series)


def stack(values: list[float], **same: str) -> list[Prediction]:
    return [slice_(value, number, **same) for number, value in enumerate(values, 1)]


def rejected(frame: int) -> Prediction:
    return Prediction("a.nii", "rejected", frame=frame, rejected="foreign")


def summed(*records: Prediction, most: int | None = None) -> list:
    summaries = VolumeSummaries(most)
    assert list(summaries.through(records)) == list(records)
    return list(summaries.volumes())


def test_false_alarms_among_hundreds_of_slices_make_no_tumour():
    """As a healthy head of 245 answered slices has them: alone, and three in a row at most."""
    values = [0.1] * 245
    for place in (3, 40, 41, 42, 90, 120, 121, 180, 181, 200, 240):
        values[place] = 0.99
    (volume,) = summed(*stack(values))
    assert (volume.type, volume.tumor_slices, volume.answered, volume.agreeing) == (
        *(None, 11, 245, 3),
    )
    assert volume.told() == (
        "245 slices, no type: 11 of 245 answered slices say tumour, no 4 neighbours agree"
    )
    assert (volume.peak_frame, volume.peak_tumor_probability) == (4, 0.99)


def test_a_run_of_neighbours_makes_its_type():
    (volume,) = summed(*stack([0.1] * 9), *stack([0.9] * 3 + [0.1] + [0.8] * 4 + [0.1]))
    assert AGREEING_SLICES == 4
    assert (volume.type, volume.agreeing, volume.tumor_slices) == ("glioma", 4, 7)
    assert volume.told() == (
        "18 slices, glioma: 7 of 18 answered slices say tumour, 4 neighbours agree"
    )


@pytest.mark.parametrize(
    "records",
    [
        [*stack([0.9] * 2), rejected(3), *stack([0.9] * 2)],
        [*stack([0.9] * 2), Prediction.failed("a.nii", "gone"), *stack([0.9] * 2)],
        [*stack([0.9] * 2), *stack([0.9] * 2, plane="coronal")],
        [*stack([0.9] * 2), *stack([0.9] * 2, type_="meningioma")],
        [*stack([0.9] * 2), *stack([0.1]), *stack([0.9] * 2)],
    ],
    ids=["rejected", "failed", "other plane", "other type", "no tumour"],
)
def test_what_lies_between_ends_a_run(records):
    (volume,) = summed(*records)
    assert (volume.type, volume.agreeing, volume.tumor_slices) == (None, 2, 4)


def test_no_tumour_needs_neighbours_too_and_no_slice_that_says_one():
    assert summed(*stack([0.1] * 4))[0].type == "no_tumor"
    assert summed(*stack([0.1] * 3))[0].type is None
    assert summed(*stack([0.1] * 20 + [0.9]))[0].type is None


def test_of_equal_slices_the_first_is_the_peak():
    (volume,) = summed(*stack([0.1, *[0.8] * 5]))
    assert volume.peak_frame == 2


def test_a_volume_without_an_answer_has_its_paths():
    failed = Prediction.failed("a.nii", "slice 4 is gone")
    (silent,) = summed(rejected(1), rejected(2), failed)
    assert (silent.slices, silent.rejected, silent.errors, silent.answered) == (3, 2, 1, 0)
    assert (silent.type, silent.peak_tumor_probability) == (None, None)
    assert (silent.path, silent.peak_path, silent.peak_frame) == ("a.nii", "a.nii", 1)
    assert silent.told() == "3 slices, no answer"


def test_files_of_one_image_are_no_volumes():
    assert summed(slice_(0.9, None, "a.png"), slice_(0.9, None, "b.png"), slice_(0.9, 1)) == []


def test_the_files_of_a_series_are_one_volume_under_their_folder():
    records = [
        slice_(0.1, None, "study/1", "aa"),
        slice_(0.1, None, "study/2", "bb"),
        slice_(0.2, None, "study/3", "aa"),
        slice_(0.2, None, "study/4", "bb"),
        slice_(0.3, None, "other/5", "aa"),
    ]
    found = [(volume.path, volume.series, volume.slices) for volume in summed(*records)]
    assert found == [("study", "aa", 2), ("study", "bb", 2)]


@pytest.mark.parametrize(
    ("name", "agreeing"), [("IM{}.dcm", 4), ("{}", 4), ("1.2.840.{}.dcm", 4), ("ab{}cd7.dcm", 3)]
)
def test_the_files_of_a_series_follow_the_number_in_their_names(name, agreeing):
    """They come as a folder is sorted: 1, 10, 11, 12, 13, 14, 2, 3, …; 9 to 12 say a tumour.

    A number that is the same in all names tells nothing: then they follow as they came.
    """
    values = {number: 0.9 if 9 <= number <= 12 else 0.1 for number in range(1, 15)}
    records = [
        slice_(value, None, f"s/{name.format(number)}", "aa")
        for number, value in sorted(values.items(), key=lambda item: str(item[0]))
    ]
    assert summed(*records)[0].agreeing == agreeing


def test_files_of_many_frames_in_one_folder_are_a_volume_each():
    """As multi-frame DICOM files of one series are, and the error that ends one of them."""
    records = [
        *(slice_(0.1, frame, "study/1.dcm", "aa") for frame in (1, 2)),
        *(slice_(0.9, frame, "study/2.dcm", "aa") for frame in (1, 2, 3)),
        Prediction.failed("study/2.dcm", "frame 4: cut off"),
    ]
    found = [(one.path, one.slices, one.errors, one.tumor_slices) for one in summed(*records)]
    assert found == [("study/1.dcm", 2, 0, 0), ("study/2.dcm", 4, 1, 3)]


def test_no_more_volumes_are_gathered_than_asked_for():
    records = [slice_(0.1, frame, f"{number}.nii") for number in range(9) for frame in (1, 2)]
    assert [volume.path for volume in summed(*records, most=2)] == ["0.nii", "1.nii"]


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("v.json", json.loads),
        ("v.JSONL", lambda text: [json.loads(line) for line in text.splitlines()]),
        ("v", lambda text: [json.loads(line) for line in text.splitlines()]),
        ("v.csv", lambda text: list(csv.DictReader(text.splitlines()))),
    ],
)
def test_the_suffix_says_how_volumes_are_written(command, picture, tmp_path, count, name, read):
    data = cv2.imencodemulti(".tif", [np.full((64, 64), 20, np.uint8)] * 2)[1].tobytes()
    files = [tmp_path / f"{number}.tif" for number in range(count)]
    for file in files:
        file.write_bytes(data)
    path = tmp_path / name
    assert command("infer", picture, *files, "--volumes", path).code == 0
    found = read(path.read_text())
    assert [one["path"] for one in found] == [str(file) for file in files]
    assert [int(one["slices"]) for one in found] == [2] * count
    assert all(one["peak_path"] == one["path"] for one in found)
