import shutil

import pytest
from click.testing import CliRunner

from edge_mri.cli import main
from edge_mri_train.data.manifest import read_manifest

NEXT = "a column sha256 should hold what sha256sum prints for the files"


def run(*arguments: object):
    result = CliRunner().invoke(main, ["split", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def counts(text: str) -> dict[str, int]:
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()}


def test_two_thirds_train_by_default_and_the_same_again(heads, tmp_path):
    one = run(heads, "--out", tmp_path / "a.csv")
    assert one.exit_code == 0
    assert sum(counts(one.stdout).values()) == 24
    assert abs(counts(one.stdout)["train"] - 16) <= 4
    assert run(heads, "--out", tmp_path / "b.csv").stdout == one.stdout
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    run(heads, "--out", tmp_path / "c.csv", "--seed", 1)
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()


def test_fractions_and_folds(heads, tmp_path):
    three = counts(run(heads, "--out", tmp_path / "m.csv", "--fractions", "0.5,0.25,0.25").stdout)
    assert set(three) == {"train", "val", "test"}
    folds = counts(run(heads, "--out", tmp_path / "m.csv", "--folds", 3).stdout)
    assert set(folds) == {"fold-0", "fold-1", "fold-2"}
    assert {row.sample.split for row in read_manifest(tmp_path / "m.csv")} == set(folds)


def test_a_kept_test_folder_stays_and_its_copies_are_dropped(heads, head, save, tmp_path):
    shutil.copytree(heads, tmp_path / "set" / "Training")
    save(tmp_path / "set" / "Testing" / "glioma_axial" / "a.png", head(0, "glioma_axial"))
    save(tmp_path / "set" / "Testing" / "glioma_axial" / "b.png", head(40, "glioma_axial"))
    said = run(tmp_path / "set", "--out", tmp_path / "m.csv", "--keep-test").stdout
    assert counts(said)["test"] == 2
    sides = {
        row.sample.path.as_posix(): row.sample.split for row in read_manifest(tmp_path / "m.csv")
    }
    assert sides["Training/glioma_axial/00.png"] == "dropped"
    assert sides["Testing/glioma_axial/a.png"] == sides["Testing/glioma_axial/b.png"] == "test"
    result = CliRunner().invoke(
        main, ["audit", "--manifest", str(tmp_path / "m.csv"), "--fail-on", "leakage"]
    )
    assert result.exit_code == 0


@pytest.fixture
def tested(heads, head, save, tmp_path):
    """A set with a test folder, one of whose images repeats a training image."""
    shutil.copytree(heads, tmp_path / "set" / "Training")
    save(tmp_path / "set/Testing/glioma_axial/a.png", head(0, "glioma_axial"))
    save(tmp_path / "set/Testing/no_tumor_axial/b.png", head(40, "no_tumor_axial"))
    return tmp_path / "set"


def naming(file, rows):
    lines = "".join(f"{row.sample.path},ct,{row.sha256.upper()} \n" for row in rows)
    file.write_text(f"path,shows,sha256\n{lines}")
    return file


def test_files_named_by_their_hash_are_dropped_and_a_kept_test_folder_stays(tested, tmp_path):
    options = (tested, "--keep-test", "--out", tmp_path / "m.csv")
    run(*options)
    before = read_manifest(tmp_path / "m.csv")
    sides = ("train", "test", "dropped")
    faulty = [next(row for row in before if row.sample.split == side) for side in sides]
    faults = naming(tmp_path / "faults.csv", faulty)
    said = run(*options, "--leave-out", faults)
    moved = [
        (one.sample.path, one.sample.split, other.sample.split)
        for one, other in zip(before, read_manifest(tmp_path / "m.csv"), strict=True)
        if one.sample.split != other.sample.split
    ]
    assert moved == [(faulty[0].sample.path, "train", "dropped")]
    assert counts(said.stdout)["test"] == 2
    assert said.stderr.splitlines()[-1] == (
        f"Of what {faults} names, 1 images are dropped, 1 were already; 1 are test images and stay."
    )


@pytest.mark.parametrize("options", [("--folds", 3), ("--fractions", "0.4,0.3,0.3")])
def test_where_no_test_folder_is_kept_all_that_is_named_is_dropped(tested, tmp_path, options):
    options = (tested, *options, "--out", tmp_path / "m.csv")
    run(*options)
    rows = read_manifest(tmp_path / "m.csv")
    faulty = {row.sha256 for row in rows[::3]}
    named = [row for row in rows if row.sha256 in faulty]
    said = run(*options, "--leave-out", naming(tmp_path / "faults.csv", named))
    told = said.stderr.splitlines()[-1]
    assert told.endswith(f" names, {len(named)} images are dropped, 0 were already.")
    left = [row for row in read_manifest(tmp_path / "m.csv") if row.sample.split != "dropped"]
    assert [row.sha256 for row in left] == [row.sha256 for row in rows if row not in named]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        ("path\na.png\n", "column sha256 expected, got path"),
        ("sha256\n00\n", f"it names none of these images by its SHA-256; {NEXT}"),
        (
            "test",
            f"it names none of these images by its SHA-256 but 1 test images, which stay; {NEXT}",
        ),
    ],
)
def test_a_list_that_leaves_nothing_out_is_refused(tested, tmp_path, text, message):
    faults = tmp_path / "faults.csv"
    if text == "test":
        run(tested, "--keep-test", "--out", tmp_path / "all.csv")
        rows = read_manifest(tmp_path / "all.csv")
        naming(faults, [row for row in rows if row.sample.path.name == "b.png"])
    elif text:
        faults.write_text(text)
    result = run(tested, "--keep-test", "--out", tmp_path / "m.csv", "--leave-out", faults)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: --leave-out {faults}: {message}"
    assert not (tmp_path / "m.csv").exists()


def test_one_image_leaves_a_side_empty_and_says_so(head, save, tmp_path):
    save(tmp_path / "set" / "glioma" / "a.png", head(0))
    result = run(tmp_path / "set", "--out", tmp_path / "m.csv")
    assert counts(result.stdout) == {"train": 1, "val": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fractions", "a,b"), "--fractions 'a,b'; expected two or three numbers such as 0.7,"),
        (("--fractions", "1"), "fractions train 1; expected two or more above 0 that sum to 1"),
        (("--fractions", "0.5,0.4"), "fractions train 0.5, val 0.4; expected two or more"),
        (("--fractions", "nan,nan"), "fractions train nan, val nan; expected two or more"),
        (("--fractions", ".25,.25,.25,.25"), "--fractions '.25,.25,.25,.25'; expected two or"),
        (("--fractions", "0.5,0.5", "--folds", "2"), "--folds and --fractions exclude each other"),
        (("--fractions", ".5,.3,.2", "--keep-test"), "--keep-test takes the test images from"),
        (("--map", "x"), "--map 'x'; expected FOLDER=LABEL"),
        (("--group-pattern", "zzz"), "--group-pattern 'zzz' matches no path"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(heads, tmp_path, options, message):
    result = run(heads, "--out", tmp_path / "m.csv", *options)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: {message}")
    assert not (tmp_path / "m.csv").exists()


def test_a_damaged_image_is_named(heads, tmp_path):
    shutil.copytree(heads, tmp_path / "set")
    (tmp_path / "set" / "no_tumor_axial" / "bad.png").write_bytes(b"no image")
    result = run(tmp_path / "set", "--out", tmp_path / "m.csv")
    assert result.exit_code == 2
    assert f"{tmp_path}/set/no_tumor_axial/bad.png: not an image" in result.stderr


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_folders_without_images_are_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / name, "--out", tmp_path / "m.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: no ")


def test_keeping_a_test_folder_that_is_not_there_is_refused(head, save, tmp_path):
    save(tmp_path / "set" / "glioma" / "a.png", head(0))
    result = run(tmp_path / "set", "--out", tmp_path / "m.csv", "--keep-test")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: --keep-test keeps test folders, and there is none; leave it out"
    )


def test_ungrouped_deals_copies_apart_for_comparison(heads, tmp_path):
    shutil.copytree(heads, tmp_path / "set")
    for file in list((tmp_path / "set").rglob("*.png")):
        shutil.copy(file, file.with_name(f"copy-{file.name}"))
    grouped = run(tmp_path / "set", "--out", tmp_path / "grouped.csv")
    random = run(tmp_path / "set", "--out", tmp_path / "random.csv", "--ungrouped")
    assert sum(counts(grouped.stdout).values()) == sum(counts(random.stdout).values()) == 48

    def leaks(manifest):
        result = CliRunner().invoke(
            main, ["audit", "--manifest", str(manifest), "--fail-on", "leakage"]
        )
        return result.exit_code == 1

    assert not leaks(tmp_path / "grouped.csv")
    assert leaks(tmp_path / "random.csv")
    result = run(tmp_path / "set", "--out", tmp_path / "m.csv", "--ungrouped", "--keep-test")
    assert result.exit_code == 2
    assert "--keep-test drops duplicates, --ungrouped keeps them" in result.stderr
