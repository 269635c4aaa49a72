import csv
import json

import cv2
import numpy as np
import pytest

from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import VolumeSummaries
from edge_mri.images.pixels.frame import SlicePosition
from edge_mri.labels import LabelSpace
from edge_mri.model.volume_rule import VolumeRule


def slice_(
    tumor: float,
    frame: int | None = 1,
    path: str = "a.nii",
    series: str | None = None,
    type_: str = "glioma",
    plane: str = "axial",
    position: SlicePosition | None = None,
) -> Prediction:
    """A slice that says a tumour from 0.5."""
    return Prediction(
        path,
        "ok",
        type_ if tumor >= 0.5 else "no_tumor",
        plane,
        tumor_probability=tumor,
        frame=frame,
        series=series,
        position=position,
    )


def stack(values: list[float], first: int = 1, **same: str) -> list[Prediction]:
    return [slice_(value, number, **same) for number, value in enumerate(values, first)]


def rejected(frame: int) -> Prediction:
    return Prediction("a.nii", "rejected", plane="axial", frame=frame, rejected="foreign")


def at(values: list[float], *, step: float = 1.0, volume: int | None = None, **same) -> list:
    """Slices whose file tells where they lie."""
    return [
        slice_(value, place + 1, position=SlicePosition("z", place * step, volume), **same)
        for place, value in enumerate(values)
    ]


def summed(*records: Prediction, most: int | None = None, rule: VolumeRule | None = None) -> list:
    summaries = VolumeSummaries(most, rule)
    assert list(summaries.through(records)) == list(records)
    return list(summaries.volumes())


def test_volumes_are_told_in_the_words_of_the_model():
    lesions = LabelSpace(("none", "stroke"), (), "none", "stroke")
    summaries = VolumeSummaries(labels=lesions)
    for _ in summaries.through(stack([0.9] * 4, type_="stroke")):
        pass
    (volume,) = summaries.volumes()
    assert ": 4 of 4 answered slices say stroke" in volume.told()
    assert "present" not in volume.to_dict()
    summaries = VolumeSummaries(labels=LabelSpace(("T1", "T2"), (), None))
    for _ in summaries.through(stack([0.9] * 4, type_="T1")):
        pass
    (volume,) = summaries.volumes()
    assert volume.told() == ("4 slices (axial), 4 answered, no type: no class means nothing found")


def test_false_alarms_among_hundreds_of_slices_make_no_tumour():
    """As a healthy head of 245 answered slices has them: alone, and three in a row at most."""
    values = [0.1] * 245
    for place in (3, 40, 41, 42, 90, 120, 121, 180, 181, 200, 240):
        values[place] = 0.99
    (volume,) = summed(*at(values))
    assert (volume.type, volume.tumor_slices, volume.answered) == ("no_tumor", 11, 245)
    assert volume.told() == (
        "245 slices (axial), no_tumor: 11 of 245 answered slices say tumour, "
        "P(tumour) 0.234 over 20 neighbours"
    )
    assert (volume.peak_frame, volume.peak_tumor_probability) == (4, 0.99)


def test_a_run_of_neighbours_makes_its_type():
    (volume,) = summed(*stack([0.1] * 9 + [0.9] * 3 + [0.1] + [0.8] * 4 + [0.1]))
    assert (volume.type, volume.neighbours, volume.tumor_slices) == ("glioma", 3, 7)
    assert volume.told() == (
        "18 slices (axial), glioma: 7 of 18 answered slices say tumour, "
        "P(tumour) 0.900 over 3 neighbours"
    )


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([0.1, 0.99, 0.1, 0.99, 0.1, 0.99, 0.1], None),
        ([0.1, 0.99, 0.1, 0.1, 0.99, 0.1, 0.1], "no_tumor"),
        ([0.1, 0.1, 0.99, 0.99, 0.1, 0.1, 0.1], None),
        ([0.1, 0.1, 0.99, 0.99, 0.58, 0.1, 0.1], "glioma"),
    ],
    ids=["every second", "alone", "two", "three"],
)
def test_a_slice_alone_counts_less_than_a_run(values, type_):
    assert summed(*at(values))[0].type == type_


def test_of_thin_slices_more_must_agree():
    """A run of four is enough of 24 slices, and a flicker of 240."""
    assert summed(*at([0.1] * 12 + [0.95] * 4 + [0.1] * 8))[0].type == "glioma"
    assert summed(*at([0.1] * 120 + [0.95] * 4 + [0.1] * 116))[0].type == "no_tumor"
    assert summed(*at([0.1] * 110 + [0.95] * 20 + [0.1] * 110))[0].type == "glioma"


def test_a_model_may_bring_its_own_rule():
    rule = VolumeRule(neighbours=2, share=0.0, tumor_from=0.6, free_below=0.2)
    assert summed(*at([0.1, 0.7, 0.6, 0.1]), rule=rule)[0].type == "glioma"
    assert summed(*at([0.1, 0.25, 0.25, 0.1]), rule=rule)[0].type is None


@pytest.mark.parametrize(
    "records",
    [
        [*stack([0.9] * 2), rejected(3), *stack([0.9] * 2, 4)],
        [*stack([0.9] * 2), Prediction.failed("a.nii", "gone"), *stack([0.9] * 2, 4)],
        [*stack([0.9] * 2), *stack([0.9] * 2, 3, plane="coronal")],
        [*at([0.9] * 2), *at([0.9] * 5, step=9)[2:4]],
    ],
    ids=["rejected", "failed", "other plane", "far away"],
)
def test_what_lies_between_ends_a_run(records):
    (volume,) = summed(*records)
    assert (volume.type, volume.neighbours, volume.tumor_slices) == (None, None, 4)
    assert volume.told().endswith(
        ", no type: 4 of 4 answered slices say tumour, too few neighbours have an answer"
    )


def test_the_type_is_what_most_of_the_neighbours_say():
    records = [*at([0.9] * 2), *at([0.9] * 5, type_="meningioma")[2:]]
    assert summed(*records, *at([0.1] * 9)[5:])[0].type in ("glioma", "meningioma")
    assert summed(*records[1:])[0].type == "meningioma"


def test_the_slices_of_a_series_are_neighbours_in_space_not_by_name():
    """Of a series whose names are in any order, in two folders, with a localiser among them."""
    values = {place: 0.95 if 8 <= place <= 11 else 0.1 for place in range(20)}
    records = [
        slice_(
            value,
            None,
            f"study/{place % 2}/{hash_}.dcm",
            "aa",
            position=SlicePosition("0 0 1", place * 5.0),
        )
        for hash_, (place, value) in zip(range(99, 0, -7), values.items(), strict=False)
    ]
    across = SlicePosition("1 0 0", 45.0)
    localiser = slice_(0.1, None, "study/0/200.dcm", "aa", plane="sagittal", position=across)
    given = sorted([*records, localiser], key=lambda record: record.path)
    (volume,) = summed(*given)
    assert (volume.path, volume.planes) == ("study", ("axial", "sagittal"))
    assert (volume.type, volume.neighbours_tumor_probability) == ("glioma", 0.95)


def test_slices_at_one_place_are_not_neighbours():
    """As of a series over time: each time is a stack, whatever order its files come in."""
    early, late = ([0.1] * 6 + [0.95] * 2 + [0.1] * 4), [0.1] * 12
    records = [
        slice_(value, None, f"s/{place}{time}.dcm", "aa", position=SlicePosition("z", place * 4.0))
        for place in range(12)
        for time, value in enumerate((early[place], late[place]))
    ]
    (volume,) = summed(*records)
    assert (volume.slices, volume.type, volume.neighbours) == (24, None, 3)
    assert volume.neighbours_tumor_probability == pytest.approx((0.95 * 2 + 0.1) / 3)


def test_the_volumes_of_one_file_are_summed_up_each():
    first, second = at([0.1] * 10, volume=1), at([0.95] * 10, volume=2)
    found = summed(*first, *second, Prediction.failed("a.nii", "cut off"))
    assert [(one.name, one.type, one.errors) for one in found] == [
        ("a.nii#1", "no_tumor", 0),
        ("a.nii#2", "glioma", 1),
    ]


def test_of_equal_slices_the_first_is_the_peak():
    (volume,) = summed(*stack([0.1, *[0.8] * 5]))
    assert volume.peak_frame == 2


def test_a_volume_without_an_answer_has_its_paths():
    failed = Prediction.failed("a.nii", "slice 4 is gone")
    (silent,) = summed(rejected(1), rejected(2), failed)
    assert (silent.slices, silent.rejected, silent.errors, silent.answered) == (3, 2, 1, 0)
    assert (silent.type, silent.peak_tumor_probability, silent.neighbours) == (None,) * 3
    assert (silent.path, silent.peak_path, silent.peak_frame) == ("a.nii", "a.nii", 1)
    assert silent.told() == "3 slices (axial), no answer"


def test_files_of_one_image_are_no_volumes():
    assert summed(slice_(0.9, None, "a.png"), slice_(0.9, None, "b.png"), slice_(0.9, 1)) == []


def test_the_files_of_a_series_are_one_volume_under_the_folder_of_all():
    records = [
        slice_(0.1, None, "study/1", "aa"),
        slice_(0.1, None, "study/2", "bb"),
        slice_(0.2, None, "study/3", "aa"),
        slice_(0.2, None, "study/4", "bb"),
        slice_(0.3, None, "other/5", "aa"),
    ]
    found = [(volume.path, volume.series, volume.slices) for volume in summed(*records)]
    assert found == [(".", "aa", 3), ("study", "bb", 2)]


@pytest.mark.parametrize(
    ("name", "type_"),
    [("IM{}.dcm", "glioma"), ("{}", "glioma"), ("1.2.840.{}.dcm", "glioma"), ("ab{}cd7.dcm", None)],
)
def test_the_files_of_a_series_follow_the_number_in_their_names(name, type_):
    """They come as a folder is sorted: 1, 10, 11, 12, 13, 14, 2, 3, …; 8 to 10 say a tumour.

    A number that is the same in all names tells nothing: then they follow as they came.
    """
    values = {number: 0.9 if 8 <= number <= 10 else 0.1 for number in range(1, 15)}
    records = [
        slice_(value, None, f"s/{name.format(number)}", "aa")
        for number, value in sorted(values.items(), key=lambda item: str(item[0]))
    ]
    assert summed(*records)[0].type == type_


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
    cv2.imwritemulti(str(tmp_path / "two.tif"), [np.full((64, 64), 20, np.uint8)] * 2)
    data = (tmp_path / "two.tif").read_bytes()
    (tmp_path / "two.tif").unlink()
    files = [tmp_path / f"{number}.tif" for number in range(count)]
    for file in files:
        file.write_bytes(data)
    path = tmp_path / name
    assert command("infer", picture, *files, "--volumes", path).code == 0
    found = read(path.read_text())
    assert [one["path"] for one in found] == [str(file) for file in files]
    assert [int(one["slices"]) for one in found] == [2] * count
    assert all(one["peak_path"] == one["path"] for one in found)
