"""URLs in the place of paths, and what of them is never shown."""

import pickle
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.remote.url import Url, located, without_secrets

KEYS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:pass@host/a.png", "https://***@host/a.png"),
        ("https://token@host/a.png", "https://***@host/a.png"),
        ("https://h/a?X-Amz-Credential=A%2FB&X-Amz-Date=1", "https://h/a?X-Amz-Credential=***&X-Amz-Date=1"),
        ("https://h/a?X-Amz-Security-Token=q&id=7", "https://h/a?X-Amz-Security-Token=***&id=7"),
        ("https://h/a?AWSAccessKeyId=k&Signature=s&Expires=1", "https://h/a?AWSAccessKeyId=***&Signature=***&Expires=1"),
        ("https://a.blob.core.windows.net/c/a.png?sv=1&sig=s%3D", "https://a.blob.core.windows.net/c/a.png?sv=1&sig=***"),
        ("https://h/a?access_token=t", "https://h/a?access_token=***"),
        ("https://h/a?api-key=t;PASSWORD=u", "https://h/a?api-key=***;PASSWORD=***"),
        ("https://h/a#id_token=t", "https://h/a#id_token=***"),
        ("sftp://me:pass@host/a", "sftp://***@host/a"),
        ("s3://AKIA:se/cret@bucket/a.png", "s3://***"),
        ("gs://me@bucket/a.png", "gs://***"),
        ("s3://bucket/a@b?token=is-a-name.png", "s3://bucket/a@b?token=is-a-name.png"),
        ("abfs://container@account.dfs/a", "abfs://container@account.dfs/a"),
        ("S3://bucket/a", "s3://bucket/a"),
    ],
)  # fmt: skip
def test_credentials_are_not_shown(address, shown):
    url = Url(address)
    assert str(url) == shown
    assert repr(url) == f"Url({shown!r})"
    assert f"{[url]}" == f"[Url({shown!r})]"
    assert pickle.loads(pickle.dumps(url)).address == url.address


def test_messages_of_others_are_cleaned():
    text = "GET http://u:p@h/x?token=abc failed, see https://h/y?Signature=q&n=1"
    assert without_secrets(text) == (
        "GET http://***@h/x?token=*** failed, see https://h/y?Signature=***&n=1"
    )


@given(bucket=st.from_regex(r"[a-z0-9.-]{3,20}", fullmatch=True), parts=st.lists(KEYS, min_size=1))
def test_a_key_may_hold_anything(bucket, parts):
    root = Url(f"s3://{bucket}")
    url = root / "/".join(parts)
    assert url.key == "/".join(parts)
    assert url.name == parts[-1]
    assert str(url) == f"s3://{bucket}/" + "/".join(parts)
    assert url.is_relative_to(root)
    assert url.parent / url.name == url
    assert url.parts[0] == str(root)


def test_a_query_is_no_part_of_a_name():
    url = Url("https://host/scans/a.hdr?sig=1")
    assert (url.name, url.suffix, url.key) == ("a.hdr", ".hdr", "scans/a.hdr")
    assert url.with_name("a.img").address == "https://host/scans/a.img?sig=1"
    assert url.parent.address == "https://host/scans?sig=1"


def test_what_lies_below():
    root = Url("s3://bucket/set/")
    assert (Url("s3://bucket/set/a/b.png")).relative_to(root) == PurePosixPath("a/b.png")
    assert not Url("s3://bucket/set2/a.png").is_relative_to(root)
    with pytest.raises(ValueError, match="does not lie below"):
        Url("s3://bucket/other/a.png").relative_to(root)
    assert Url("s3://bucket").parent == Url("s3://bucket")


@pytest.mark.parametrize(
    "text", ["./s3://bucket/a", "s3:/bucket/a", "C:/a", "C://a", "a/s3://b", ""]
)
def test_paths_stay_paths(text):
    assert located(text) == Path(text)
