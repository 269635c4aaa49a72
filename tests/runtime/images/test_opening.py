import errno
import os
import stat
from pathlib import Path

import pytest

from edge_mri.errors import ImageReadError, ImageSizeError
from edge_mri.images import ImageFiles, Limits, read_image

needs_rights = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may read everything"
)


def test_a_file_too_large_is_not_read(picture):
    size = picture.stat().st_size
    assert read_image(picture, Limits(max_bytes=size)).shape == (70, 90)
    with pytest.raises(ImageSizeError) as refusal:
        read_image(picture, Limits(max_bytes=size - 1))
    assert str(refusal.value) == (
        f"image too large: {size:,} bytes, the limit is {size - 1:,} bytes (--max-bytes)"
    )


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_whose_length_changes_while_it_is_read_is_refused(picture, monkeypatch, change):
    fstat = os.fstat

    def changing(descriptor: int) -> os.stat_result:
        os.truncate(picture, picture.stat().st_size + change)
        status = list(fstat(descriptor))
        status[stat.ST_SIZE] -= change
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", changing)
    with pytest.raises(ImageReadError) as refusal:
        read_image(picture)
    assert str(refusal.value) == "cannot read the file: it changed while it was read"


def test_a_file_that_is_gone_is_a_read_error(tmp_path):
    with pytest.raises(ImageReadError) as refusal:
        read_image(tmp_path / "gone.jpg")
    assert str(refusal.value) == "cannot read the file: No such file or directory"


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(ImageReadError) as refusal:
        read_image(tmp_path)
    assert str(refusal.value) == (
        "cannot read the file: it is a folder; expected a file (`find DIR -type f` lists files)"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_image_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageReadError) as refusal:
        read_image(tmp_path / "pipe.jpg")
    assert str(refusal.value) == "cannot read the file: it is not a regular file"


@needs_rights
def test_a_file_without_rights_is_a_read_error(picture):
    picture.chmod(0)
    with pytest.raises(ImageReadError) as refusal:
        read_image(picture)
    assert str(refusal.value) == "cannot read the file: Permission denied"


def test_a_file_that_fails_while_it_is_read_is_a_read_error(picture, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(ImageReadError) as refusal:
        read_image(picture)
    assert str(refusal.value) == "cannot read the file: Input/output error"


def test_a_name_that_no_file_can_have_is_a_read_error():
    with pytest.raises(ImageReadError) as refusal:
        read_image(Path("a\0b.png"))
    assert str(refusal.value) == "cannot read the file: embedded null byte"


@pytest.mark.parametrize(
    "name", ["with space.png", "line\nbreak.png", "Schädel-脑.png", "quote'\".png", "-o.png"]
)
def test_a_file_is_read_whatever_its_name(picture, name):
    named = picture.rename(picture.with_name(name))
    (path,) = ImageFiles([picture.parent])
    assert path == named
    assert read_image(path).shape == (70, 90)
