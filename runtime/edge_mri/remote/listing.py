"""What lies below a URL, listed as it is asked for."""

from collections.abc import Iterator
from typing import Any, Literal

from edge_mri.remote.filesystems import filesystem, path_in
from edge_mri.remote.reasons import told
from edge_mri.remote.url import Url

_PAGE = 1000  # objects; S3 gives no more at a time


def kind(url: Url) -> Literal["file", "folder"] | None:
    """Say what a URL names; on the web by its last character alone; None where there is nothing."""
    is_folder = url.address.endswith("/") or not url.key
    with told(url):
        fs = filesystem(url)
        if url.is_web:
            return "folder" if is_folder else "file"
        if hasattr(fs, "call_s3"):
            if not is_folder:
                first = next(_page(fs, url, url.key, 1).__iter__(), None)
                if first is not None and first["Key"] == url.key:
                    return "file"
            return "folder" if _page(fs, url, _prefix(url), 1) else None
        try:
            info = fs.info(path_in(fs, url))
        except FileNotFoundError:
            return None
        return "folder" if info["type"] == "directory" else "file"


def below(url: Url) -> Iterator[Url]:
    """Give the files below a folder, by name, with their sizes.

    A bucket of S3 is listed page by page, whatever lies in it; others folder by folder.
    """
    with told(url):
        fs = filesystem(url)
        if hasattr(fs, "call_s3"):
            yield from _s3_files(fs, url)
        else:
            yield from _files(fs, url)


def _s3_files(fs: Any, url: Url) -> Iterator[Url]:
    bucket = url.parts[0]
    token: dict[str, str] = {}
    while True:
        page = fs.call_s3(
            "list_objects_v2",
            Bucket=_bucket(url), Prefix=_prefix(url), MaxKeys=_PAGE, **token,
        )  # fmt: skip
        for one in page.get("Contents", ()):
            if not one["Key"].endswith("/"):  # what consoles make for a folder
                yield Url(f"{bucket}/{one['Key']}", one["Size"])
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _page(fs: Any, url: Url, prefix: str, count: int) -> list[dict[str, Any]]:
    page = fs.call_s3("list_objects_v2", Bucket=_bucket(url), Prefix=prefix, MaxKeys=count)
    return list(page.get("Contents", ()))


def _bucket(url: Url) -> str:
    return url.parts[0].partition("://")[2]


def _prefix(url: Url) -> str:
    key = url.key.rstrip("/")
    return f"{key}/" if key else ""


def _files(fs: Any, url: Url) -> Iterator[Url]:
    root = path_in(fs, url).rstrip("/")
    above, seen = [_entries(fs, path_in(fs, url))], {root}
    while above:
        entry = next(above[-1], None)
        if entry is None:
            above.pop()
            continue
        name = str(entry["name"]).rstrip("/")
        if entry["type"] != "directory":
            yield url / name[len(root) :].lstrip("/") if not url.is_web else Url(name)
        elif name not in seen:
            seen.add(name)
            above.append(_entries(fs, entry["name"]))


def _entries(fs: Any, path: str) -> Iterator[dict[str, Any]]:
    return iter(sorted(fs.ls(path, detail=True), key=lambda entry: str(entry["name"])))
