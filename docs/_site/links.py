"""A hook of MkDocs: links from a page to files of the repository that are no pages.

A page is read on the forge as well, where `../deploy` leads somewhere. On the site it leads to the
repository that `repo_url` names, and to nothing but its words where none is named.
"""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s:]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_BRANCH = "main"


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Return the page with links that lead out of docs/ rewritten."""
    repository = (config.get("repo_url") or "").rstrip("/")
    folder = posixpath.dirname(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, _, anchor = target.partition("#")
        inside = posixpath.normpath(posixpath.join(folder, path)) if path else ""
        if not inside.startswith(".."):
            return match.group(0)
        if not repository:
            return words
        there = posixpath.normpath(posixpath.join("docs", inside))
        return f"[{words}]({repository}/blob/{_BRANCH}/{there}{'#' + anchor if anchor else ''})"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(rewritten, part) for part in parts)
