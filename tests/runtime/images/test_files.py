import errno
import io
import os
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from edge_mri.errors import FolderNotFoundError, ImageReadError, OptionError
from edge_mri.images import SUFFIXES, VOLUME_SUFFIXES, ImageFiles, read_image
from edge_mri.images.path_list import PathList

needs_rights = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may read everything"
)
DICOM_START = b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0"


def touched(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_files_come_by_name_at_any_depth(tmp_path):
    made = touched(tmp_path, "c.webp", "b/e.tif", "b/c/d.bmp", "b/a.jpg", "a.png")
    assert list(ImageFiles([tmp_path])) == made[::-1]


def test_paths_come_in_the_order_they_are_given(tmp_path):
    one, two, other = touched(tmp_path, "z/1.png", "z/2.png", "a/3.png")
    files = ImageFiles([tmp_path / "z", other, one])
    assert list(files) == [one, two, other, one]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_case_of_a_suffix_does_not_matter(tmp_path, suffix):
    expected = touched(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert list(ImageFiles([tmp_path])) == expected


def test_other_files_are_skipped_and_counted_each_time(tmp_path):
    (image,) = touched(tmp_path, "a.png")
    touched(tmp_path, "notes.txt", "b/scan.dcm", "b/jpg", "c.jpg.part")
    files = ImageFiles([tmp_path])
    for _ in range(2):
        assert list(files) == [image]
        assert files.skipped == 4


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    (image,) = touched(tmp_path, "a.png")
    touched(tmp_path, "._a.png", ".cache/b.png")
    files = ImageFiles([tmp_path])
    assert list(files) == [image]
    assert files.skipped == 0


def test_a_file_that_is_named_counts_whatever_it_is_called(tmp_path):
    paths = touched(tmp_path, "scan", ".hidden.png", "notes.txt")
    assert list(ImageFiles(paths)) == paths


def test_a_hidden_folder_that_is_named_counts(tmp_path):
    (image,) = touched(tmp_path, ".set/a.png")
    assert list(ImageFiles([tmp_path / ".set"])) == [image]


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    (image,) = touched(tmp_path, "a/b/c.png")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "a/b/self").symlink_to(".")
    assert list(ImageFiles([tmp_path])) == [image]


def test_a_link_to_another_folder_is_followed(tmp_path):
    touched(tmp_path, "far/a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link").symlink_to(tmp_path / "far")
    assert list(ImageFiles([tmp_path / "set"])) == [tmp_path / "set/link/a.png"]


def test_many_links_to_one_folder_are_followed_once(tmp_path):
    """Each level doubles the ways that lead to the image: 2**20 of them."""
    (image,) = touched(tmp_path, "set/0/a.png")
    for level in range(1, 21):
        (tmp_path / f"set/{level}").mkdir()
        for name in ("x", "y"):
            (tmp_path / f"set/{level}/{name}").symlink_to(tmp_path / f"set/{level - 1}")
    found = list(ImageFiles([tmp_path / "set"]))
    assert image in found
    assert len(found) <= 22
    assert {path.resolve() for path in found} == {image}


def test_a_link_to_itself_or_to_nothing_is_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "nothing.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "turn").symlink_to("turn")
    files = ImageFiles([tmp_path])
    loop, nothing = files
    assert files.skipped == 1
    with pytest.raises(ImageReadError, match="Too many levels of symbolic links"):
        read_image(loop)
    with pytest.raises(ImageReadError, match="No such file or directory"):
        read_image(nothing)


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
    scandir = os.scandir

    def list_folder(folder: Path):
        if folder == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", list_folder)


def test_a_folder_that_cannot_be_listed_comes_itself_and_the_rest_goes_on(tmp_path, monkeypatch):
    first, _, last = touched(tmp_path, "a.png", "b/hidden.png", "c.png")
    refuse_to_list(monkeypatch, tmp_path / "b")
    assert list(ImageFiles([tmp_path])) == [first, tmp_path / "b", last]


@needs_rights
def test_a_folder_without_rights_tells_why(tmp_path):
    touched(tmp_path, "a/b.png")
    (tmp_path / "a").chmod(0)
    try:
        (path,) = ImageFiles([tmp_path])
        with pytest.raises(ImageReadError, match="Permission denied"):
            read_image(path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_files_are_found_as_they_are_asked_for(tmp_path):
    expected = touched(tmp_path, *(f"{number:03}.png" for number in range(100)))
    assert list(islice(ImageFiles([tmp_path]), 3)) == expected[:3]


@pytest.mark.parametrize("name", ["missing", "missing/a.png", "a" * 300])
def test_a_path_that_is_not_there_is_refused_at_once(tmp_path, name):
    with pytest.raises(FolderNotFoundError) as refusal:
        ImageFiles([tmp_path, tmp_path / name])
    assert str(refusal.value) == f"no such file or folder: {tmp_path / name}"


def test_a_pattern_stands_for_what_it_matches_by_name(tmp_path, monkeypatch):
    made = touched(tmp_path, "b/2.png", "b/1.png", "a/3.png", "a/no.txt", ".h/4.png", "b/.5.png")
    assert list(ImageFiles([tmp_path / "*/*.png"])) == [made[2], made[1], made[0]]
    assert list(ImageFiles([tmp_path / "b/[!2].png"])) == [made[1]]
    monkeypatch.chdir(tmp_path)
    assert list(ImageFiles([Path("b/?.png")])) == [Path("b/1.png"), Path("b/2.png")]
    assert Path("a/3.png") in list(ImageFiles([Path("**/*.png")]))


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    star, _ = touched(tmp_path, "[1].png", "1.png")
    assert list(ImageFiles([star])) == [star]


@pytest.mark.parametrize("pattern", ["*.bmp", "none/*.png", "**.png"])
def test_a_pattern_that_matches_nothing_is_refused(tmp_path, pattern):
    touched(tmp_path, "a.png")
    with pytest.raises(FolderNotFoundError) as refusal:
        ImageFiles([tmp_path / pattern])
    assert str(refusal.value) == f"no such file or folder: {tmp_path / pattern}"


def test_a_pattern_goes_round_in_no_circle(tmp_path):
    (image,) = touched(tmp_path, "a/b.png")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert list(ImageFiles([tmp_path / "**/*.png"])) == [image]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a.png\nb c.png\n", ["a.png", "b c.png"]),
        (b"a.png\r\n\r\nb.png", ["a.png", "b.png"]),
        (b"a\nb.png\0c.png\0", ["a\nb.png", "c.png"]),
        (b"a.png", ["a.png"]),
        (b"", []),
        (b"\xff.png\n", [os.fsdecode(b"\xff.png")]),
    ],
)
def test_a_list_has_newlines_or_null_characters_between_its_paths(data, names):
    assert [str(path) for path in PathList(io.BytesIO(data))] == names


def test_a_list_that_has_no_separator_is_no_list():
    with pytest.raises(OptionError, match="an entry of more than 65,536 bytes"):
        list(PathList(io.BytesIO(b"x" * 200_000)))


def test_a_list_is_read_as_it_comes():
    """From a pipe that stays open: the first path is there before the second is written."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reading, os.fdopen(theirs, "wb", buffering=0) as writing:
        writing.write(b"a.png\nb.")
        listed = PathList(reading)
        paths = iter(listed)
        assert next(paths) == Path("a.png")
        assert listed.would_wait()
        writing.write(b"png\nc.png\n")
        assert not listed.would_wait()
        assert next(paths) == Path("b.png")
        assert not listed.would_wait()
        assert next(paths) == Path("c.png")
        assert listed.would_wait()


def test_a_folder_that_is_listed_keeps_nobody_waiting_before_its_last_file(tmp_path):
    first, last = touched(tmp_path, "set/a.png", "set/b.png")
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reading, os.fdopen(theirs, "wb", buffering=0) as writing:
        writing.write(f"{tmp_path / 'set'}\n".encode())
        files = ImageFiles([Path("-"), tmp_path], stdin=reading)
        assert not files.would_wait()
        found = iter(files)
        assert (next(found), files.would_wait()) == (first, False)
        assert (next(found), files.would_wait()) == (last, True)
        writing.close()
        assert not files.would_wait()
        assert (next(found), files.would_wait()) == (first, False)


def test_a_list_may_name_files_folders_and_what_is_not_there(tmp_path):
    inside, alone = touched(tmp_path, "set/a.png", "scan")
    listed = f"{alone}\n{tmp_path / 'gone.png'}\n{tmp_path / 'set'}\n"
    files = ImageFiles([Path("-")], stdin=io.BytesIO(listed.encode()))
    assert files.once
    assert list(files) == [alone, tmp_path / "gone.png", inside]


def test_without_stdin_a_dash_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touched(tmp_path, "-")
    assert list(ImageFiles([Path("-")])) == [Path("-")]


def test_volumes_count_only_where_they_are_asked_for(tmp_path):
    volumes = touched(tmp_path, *(f"{number}{end}" for number, end in enumerate(VOLUME_SUFFIXES)))
    assert list(ImageFiles([tmp_path])) == []
    files = ImageFiles([tmp_path], volumes=True)
    assert list(files) == volumes
    assert files.suffixes == SUFFIXES + VOLUME_SUFFIXES


def test_dicom_files_without_a_suffix_are_known_by_their_first_bytes(tmp_path):
    names = ["IM0001", "1.2.840.10008", "IM0002", "README", "4.5.txt", "DICOMDIR"]
    made = touched(tmp_path, *names)
    for path in (made[0], made[1], made[4], made[5]):
        path.write_bytes(DICOM_START)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    files = ImageFiles([tmp_path], volumes=True)
    assert list(files) == [made[1], made[0]]
    assert files.skipped == (5 if hasattr(os, "mkfifo") else 4)


def test_a_large_folder_is_not_sorted_and_complete(tmp_path):
    expected = touched(tmp_path, *(f"{number:03}.png" for number in range(100)))
    assert list(ImageFiles([tmp_path], sort_up_to=100)) == expected
    found = list(ImageFiles([tmp_path], sort_up_to=99))
    assert sorted(found) == expected
    assert found == [tmp_path / entry.name for entry in os.scandir(tmp_path)]


def test_a_large_folder_costs_no_memory(monkeypatch):
    """A folder of 100,000 entries that exist only while they are asked for."""

    class Entry:
        def __init__(self, number: int) -> None:
            self.name = f"{number}.png"

        def is_dir(self) -> bool:
            return False

    class Listing:
        def __init__(self) -> None:
            self.entries = map(Entry, range(100_000))

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Listing())
    peaks: dict[int, int] = {}
    for held in (1_000_000, 1000) * 2:  # Python's own table of names may grow in any, but once
        tracemalloc.start()
        assert sum(1 for _ in ImageFiles([Path()], sort_up_to=held)) == 100_000
        peak = tracemalloc.get_traced_memory()[1]
        peaks[held] = min(peaks.get(held, peak), peak)
        tracemalloc.stop()
    assert peaks[1000] < 0.75 * peaks[1_000_000]
