import pytest

from edge_mri.prediction import Prediction
from edge_mri.volumes import TOP_SLICES, VolumeSummaries


def slice_(
    tumor: float,
    frame: int | None = 1,
    path: str = "a.nii",
    series: str | None = None,
    type_: str = "glioma",
) -> Prediction:
    rest = round((1 - tumor) if type_ != "no_tumor" else 1.0, 6)
    probabilities = {"glioma": 0.0, "meningioma": 0.0, "pituitary": 0.0, "no_tumor": rest}
    probabilities[type_] = probabilities[type_] + tumor if type_ != "no_tumor" else 1.0
    return Prediction(path, "ok", type_, None, probabilities, None, frame=frame, series=series)


def summed(*records: Prediction, threshold: float = 0.5, most: int | None = None) -> list:
    summaries = VolumeSummaries(threshold, most)
    assert list(summaries.through(records)) == list(records)
    return list(summaries.volumes())


def test_the_answer_is_the_mean_of_the_three_slices_with_the_most_tumour():
    values = [0.1, 0.9, 0.2, 0.6, 0.7, 0.0]
    (volume,) = summed(*(slice_(value, number) for number, value in enumerate(values, 1)))
    assert TOP_SLICES == 3
    assert volume.tumor_probability == pytest.approx((0.9 + 0.7 + 0.6) / 3)
    assert (volume.type, volume.tumor_slices, volume.slices) == ("glioma", 3, 6)
    assert (volume.peak_path, volume.peak_frame) == ("a.nii", 2)


def test_one_slice_alone_does_not_make_a_tumour():
    (volume,) = summed(slice_(1.0, 1), *(slice_(0.1, number) for number in range(2, 9)))
    assert volume.tumor_probability == pytest.approx(0.4)
    assert (volume.type, volume.tumor_slices) == ("no_tumor", 1)


def test_the_type_is_the_one_that_the_slices_of_the_answer_say_together():
    (volume,) = summed(
        slice_(0.9, 1, type_="glioma"),
        slice_(0.8, 2, type_="meningioma"),
        slice_(0.7, 3, type_="meningioma"),
        *(slice_(0.6, number, type_="pituitary") for number in range(4, 20)),
    )
    assert volume.type == "meningioma"


def test_the_threshold_is_the_models():
    records = [slice_(0.4, 1), slice_(0.4, 2)]
    assert summed(*records)[0].type == "no_tumor"
    assert summed(*records, threshold=0.4)[0].type == "glioma"


def test_of_equal_slices_the_first_is_the_peak():
    (volume,) = summed(*(slice_(0.8, number) for number in range(1, 6)))
    assert volume.peak_frame == 1


def test_rejected_slices_and_errors_are_counted_and_do_not_answer():
    rejected = Prediction("a.nii", "rejected", frame=2)  # type: ignore[arg-type]
    failed = Prediction.failed("a.nii", "slice 4 is gone")
    (volume,) = summed(slice_(0.1, 1), rejected, slice_(0.3, 3), failed)
    assert (volume.slices, volume.rejected, volume.errors) == (4, 1, 1)
    assert volume.tumor_probability == pytest.approx(0.2)
    (silent,) = summed(rejected, rejected)
    assert (silent.type, silent.tumor_probability, silent.peak_path) == (None, None, None)


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


def test_no_more_volumes_are_gathered_than_asked_for():
    records = [slice_(0.1, frame, f"{number}.nii") for number in range(9) for frame in (1, 2)]
    assert [volume.path for volume in summed(*records, most=2)] == ["0.nii", "1.nii"]
