import errno
import io
import os
import subprocess
import tracemalloc
from collections.abc import Iterator
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


class Failing:
    """A listing that ends in an error behind its first entries."""

    def __init__(self, folder: Path, entries: int) -> None:
        self.entries = islice(sorted(SCANDIR(folder), key=lambda one: one.name), entries)

    def __iter__(self):
        yield from self.entries
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass


SCANDIR = os.scandir


@pytest.mark.parametrize("sort_up_to", [None, 0])
def test_a_folder_whose_listing_breaks_off_gives_what_came_then_itself(
    tmp_path, monkeypatch, sort_up_to
):
    made = touched(tmp_path, "a.png", "b/1.png", "b/2.png", "b/3.png", "c.png")
    broken = tmp_path / "b"
    monkeypatch.setattr(
        os, "scandir", lambda path: Failing(path, 2) if Path(path) == broken else SCANDIR(path)
    )
    found = list(ImageFiles([tmp_path], sort_up_to=sort_up_to))
    assert sorted(found) == sorted([*made[:3], broken, made[4]])
    with pytest.raises(ImageReadError, match="a folder that cannot be listed: Input/output error"):
        read_image(broken)


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Path]:
    """2,500 folders in one another, an image in the 1,100th; the last are past any path."""
    above = Path.cwd()
    os.chdir(tmp_path)
    for depth in range(2500):
        if depth == 1100:
            Path("a.png").touch()
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(above)
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # shutil would recurse


@pytest.mark.skipif(os.name != "posix", reason="needs paths that are long and relative")
def test_folders_may_lie_in_one_another_by_the_thousand(nest):
    (last,) = touched(nest, "z.png")
    inner, too_far, found = ImageFiles([nest])
    assert (inner.name, found) == ("a.png", last)
    with pytest.raises(ImageReadError, match="File name too long"):
        read_image(too_far)


def test_a_folder_that_vanishes_is_a_path_that_is_not_there(tmp_path):
    touched(tmp_path, "a/1.png", "b/2.png")
    files = iter(ImageFiles([tmp_path, tmp_path / "b"]))
    assert next(files) == tmp_path / "a/1.png"
    (tmp_path / "b/2.png").unlink()
    (tmp_path / "b").rmdir()
    assert list(files) == [tmp_path / "b", tmp_path / "b"]


def test_a_path_that_cannot_be_reached_is_refused_with_the_reason(tmp_path):
    (tmp_path / "turn").symlink_to("turn")
    with pytest.raises(FolderNotFoundError) as refusal:
        ImageFiles([tmp_path / "turn"])
    assert str(refusal.value) == (
        f"cannot reach {tmp_path / 'turn'}: Too many levels of symbolic links"
    )


def test_a_pattern_that_meets_a_folder_it_cannot_search_gives_that(tmp_path, monkeypatch):
    touched(tmp_path, "a.png")

    def fail(_: Path, pattern: str):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "b"))

    monkeypatch.setattr(Path, "glob", fail)
    assert list(ImageFiles([tmp_path / "*/*.png"])) == [tmp_path / "b"]


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
    with pytest.raises(OptionError, match="begins with more than 65,536 bytes that are no path"):
        list(PathList(io.BytesIO(b"x" * 200_000)))


def test_an_entry_longer_than_any_path_is_cut_and_the_list_goes_on():
    first, long, last = PathList(io.BytesIO(b"a.png\n" + b"x" * 10**6 + b"\nb.png\n"))
    assert (str(first), str(last)) == ("a.png", "b.png")
    assert 4096 < len(str(long)) < 200_000


NAMES = ["a/1.png", "b c/äöü/2.png", "日本/𝄞.png"]


class Dripping(io.BufferedReader):
    """A stream that gives a byte at a time."""

    def read1(self, size: int = -1) -> bytes:
        return super().read1(1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_list_behind_a_byte_order_mark_is_in_that_encoding(encoding, end):
    text = end.join(NAMES) + end
    data = (text if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff" + text).encode(
        encoding
    )
    for stream in (io.BytesIO(data), Dripping(io.BytesIO(data))):
        assert [str(path) for path in PathList(stream)] == NAMES


def test_a_list_of_utf_16_that_is_cut_gives_what_stands_before_the_cut():
    first, cut = PathList(io.BytesIO("a.png\nb.png".encode("utf-16")[:-1]))
    assert (str(first), str(cut)) == ("a.png", "b.pn\ufffd")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("name", ["/data/1.png", "C:\\scans\\日本\\1.png", "1.png"])
def test_wide_characters_without_a_mark_are_refused(encoding, name):
    data = f"{name}\r\n".encode(encoding)
    for stream in (io.BytesIO(data), Dripping(io.BytesIO(data))):
        with pytest.raises(OptionError, match="looks like UTF-16 or UTF-32"):
            list(PathList(stream))


@pytest.mark.parametrize("names", [["a.b"] * 9, ["./a", "./b"] * 5, ["a", "b", "c.png", "d.png"]])
def test_short_names_between_null_characters_are_not_taken_for_wide_ones(names):
    data = "".join(f"{name}\0" for name in names).encode()
    assert [str(path) for path in PathList(io.BytesIO(data))] == [str(Path(one)) for one in names]


def test_names_that_begin_as_a_bitmap_does_are_names():
    assert list(PathList(io.BytesIO(b"BM/1.png\nBM/2.png\n"))) == [
        Path("BM/1.png"),
        Path("BM/2.png"),
    ]


def test_a_list_that_cannot_be_read_is_told(tmp_path):
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OptionError, match=r"^cannot read the list on stdin: Input/output error$"):
        list(PathList(Broken()))


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


def test_a_dicomdir_in_a_list_keeps_nobody_waiting_before_its_last_file(tmp_path, monkeypatch):
    first, last = touched(tmp_path, "set/a.png", "set/b.png")
    monkeypatch.setattr("edge_mri.images.files._referenced", lambda _: iter((first, last)))
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reading, os.fdopen(theirs, "wb", buffering=0) as writing:
        writing.write(f"{tmp_path / 'DICOMDIR'}\n".encode())
        files = ImageFiles([Path("-"), tmp_path], volumes=True, stdin=reading)
        assert not files.would_wait()
        found = iter(files)
        assert (next(found), files.would_wait()) == (first, False)
        assert (next(found), files.would_wait()) == (last, True)
        writing.close()
        assert not files.would_wait()
        assert (next(found), files.would_wait()) == (first, False)


def test_a_list_may_name_what_is_not_there_and_turns_into_no_folder(tmp_path):
    _, alone = touched(tmp_path, "set/a.png", "scan")
    listed = f"{alone}\n{tmp_path / 'gone.png'}\n{tmp_path / 'set'}\n/\n.\n"
    files = ImageFiles([Path("-")], stdin=io.BytesIO(listed.encode()))
    assert files.once
    found = list(files)
    assert found == [alone, tmp_path / "gone.png", tmp_path / "set", Path("/"), Path()]
    for folder in found[2:]:
        with pytest.raises(
            ImageReadError, match=r"it is a folder; expected a file \(`find DIR -ty"
        ):
            read_image(folder)


def test_without_stdin_a_dash_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touched(tmp_path, "-")
    assert list(ImageFiles([Path("-")])) == [Path("-")]


def test_volumes_count_only_where_they_are_asked_for(tmp_path):
    suffixes = [one for one in VOLUME_SUFFIXES if not one.startswith(".hdr")]
    volumes = touched(tmp_path, *(f"{number}{end}" for number, end in enumerate(suffixes)))
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
