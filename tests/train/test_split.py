import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_mri.errors import OptionError
from edge_mri.labels import Label
from edge_mri_train.errors import ManifestError
from edge_mri_train.folders import Sample, read_folders
from edge_mri_train.split import read_manifest, split_samples, write_manifest

LABELS = ("glioma", "pituitary_axial", "pituitary_coronal")
# Each image is its folder and its bytes; the same bytes may come again, in the same folder.
sets = st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 9)), min_size=1, max_size=40)
fractions = st.floats(0.05, 0.95)


def write_set(root: Path, images: list[tuple[str, int]]) -> list[Sample]:
    for position, (folder, content) in enumerate(images):
        file = root / folder / f"{position:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{folder} {content}")
    return read_folders([root])


@given(images=sets, fraction=fractions, seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_same_bytes_are_on_one_side_and_every_image_on_exactly_one(images, fraction, seed):
    with tempfile.TemporaryDirectory() as folder:
        samples = write_set(Path(folder), images)
        rows = split_samples(samples, fraction, seed)
        assert [row.sample.file for row in rows] == [sample.file for sample in samples]
        assert [row.sample.label for row in rows] == [sample.label for sample in samples]
        sides = defaultdict(set)
        for row in rows:
            sides[row.sample.file.read_text()].add(row.sample.split)
    assert all(side in ({"train"}, {"val"}) for side in sides.values())


@given(
    counts=st.tuples(*[st.integers(0, 25)] * 3).filter(any),
    fraction=fractions,
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_each_label_is_divided_by_the_fraction_to_the_image_but_keeps_one_for_training(
    counts, fraction, seed
):
    images = [
        (label, number)
        for label, count in zip(LABELS, counts, strict=True)
        for number in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows = split_samples(write_set(Path(folder), images), fraction, seed)
    held_out = Counter(str(row.sample.label) for row in rows if row.sample.split == "val")
    for label, count in zip(LABELS, counts, strict=True):
        assert abs(held_out[label] - fraction * count) <= (1 if count else 0)
        assert held_out[label] < max(count, 1)


def test_the_split_follows_from_the_seed_and_not_from_the_order(tmp_path):
    samples = write_set(tmp_path, [(LABELS[n % 3], n) for n in range(60)])

    def held_out(order, seed):
        rows = split_samples(order, 1 / 3, seed)
        return {row.sample.path for row in rows if row.sample.split == "val"}

    assert len(held_out(samples, 0)) == 21  # 7 of each 20: a third, rounded
    assert held_out(samples, 0) == held_out(samples[::-1], 0)
    assert held_out(samples, 0) != held_out(samples, 1)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_that_leaves_a_side_empty_is_refused(tmp_path, fraction):
    samples = write_set(tmp_path, [("glioma", 1)])
    with pytest.raises(OptionError, match=r"^validation fraction .*; expected above 0 and below 1"):
        split_samples(samples, fraction, 0)


def test_a_manifest_comes_back_as_it_was_written(tmp_path, monkeypatch):
    write_set(tmp_path / "set, one", [("glioma", 1), ("pituitary_axial", 2), ("glioma", 1)])
    monkeypatch.chdir(tmp_path)
    rows = split_samples(read_folders([Path("set, one")]), 0.5, 0)
    write_manifest(rows, tmp_path / "split.csv")
    monkeypatch.chdir("/")
    back = read_manifest(tmp_path / "split.csv")
    assert [row.sample.label for row in back] == [Label("glioma")] * 2 + [
        Label("pituitary", "axial")
    ]
    assert [row.sample.file for row in back] == [
        tmp_path / row.sample.root / row.sample.path for row in rows
    ]
    assert all(row.sample.file.is_file() for row in back)
    for one, other in zip(rows, back, strict=True):
        assert (one.sha256, one.group, one.sample.split) == (
            other.sha256,
            other.group,
            other.sample.split,
        )
    assert back[0].group == back[1].group != back[2].group


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ManifestError) as caught:
        read_manifest(tmp_path / "split.csv")
    assert str(caught.value) == (
        f"the split manifest {tmp_path}/split.csv cannot be used: No such file or directory"
    )


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"root,path\n\x00"])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(ManifestError, match="cannot be used: "):
        read_manifest(tmp_path / "split.csv")


@pytest.mark.parametrize(
    ("value", "other"),
    [(",val\n", ",test\n"), (",glioma,", ",cat,"), (",axial,", ",above,"), (",val\n", "\n")],
)
def test_a_damaged_row_of_a_manifest_is_named(tmp_path, value, other):
    write_set(tmp_path, [(label, n) for label in LABELS for n in range(2)])
    path = tmp_path / "split.csv"
    write_manifest(split_samples(read_folders([tmp_path]), 0.5, 0), path)
    text = path.read_text()
    line = 1 + text[: text.index(value)].count("\n")
    path.write_text(text.replace(value, other, 1))
    with pytest.raises(ManifestError, match=f"line {line} is no image with type, plane and split"):
        read_manifest(path)
