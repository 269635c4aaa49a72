"""The page for people, and its files: nothing of it comes from another place, nor is it built.

It looks like the report (`edge_mri.pictures.templates`) and shares its table; what it does by
itself is `templates/serve.js`. A report that is saved there is the report's own page.
"""

import re
from collections import Counter
from html import escape
from importlib.resources import files
from typing import Any

from edge_mri import __version__
from edge_mri.classifier import Classifier
from edge_mri.images import SUFFIXES, VOLUME_SUFFIXES
from edge_mri.pictures.report_page import ROWS, facts_html, filled, template
from edge_mri.pictures.report_page import Page as ReportPage
from edge_mri.pictures.report_rows import script_json
from edge_mri.records.output import csv_columns
from edge_mri.serve.config import ServeConfig

_GROUP_FILES, _GROUP_BYTES = 16, 16 * 2**20  # of one request of the page's
_SCRIPT, _STYLE = "text/javascript", "text/css"


class Page:
    """The page of a service.

    Attributes:
        html: The page itself.
        assets: Its other files by name, each with its media type.
    """

    def __init__(self, classifier: Classifier, config: ServeConfig, scale: str | None) -> None:
        contract, model = classifier.contract, classifier.path.name
        about: dict[str, Any] = {
            "types": contract.labels.types,
            "planes": contract.labels.planes,
            "counts": {},
            "present": contract.labels.present_word,
            "present_key": contract.labels.present_key,
            "threshold": contract.tumor_threshold,
            "scale": scale,
            "novelty": contract.rejection is not None,
            "columns": csv_columns(contract.labels),
            "suffixes": [*SUFFIXES, *VOLUME_SUFFIXES],
            "max_bytes": config.max_bytes,
            "group_files": min(_GROUP_FILES, config.max_files),
            "group_bytes": min(_GROUP_BYTES, config.max_request_bytes // 2),
            "needs_token": config.token_file is not None,
        }
        parts = {
            "facts": facts_html(contract, model),
            "files": template("records.html"),
            "bounds": "",
            "about": script_json(about),
            "version": escape(__version__),
        }
        self.html = filled(_file("serve.html"), parts)
        report = ReportPage(contract, model, scale, Counter(), (), "").html()
        self.assets = {
            "records.js": (template("records.js"), _SCRIPT),
            "serve.js": (_file("serve.js"), _SCRIPT),
            "report.css": (template("report.css"), _STYLE),
            "serve.css": (_file("serve.css"), _STYLE),
            "report.html": (_open_report(report), "text/html"),
        }


def _open_report(report: str) -> str:
    """Return a report in which the page fills in what it alone knows, at the same marks."""
    for pattern, mark in (
        (r"(<title>).*?(</title>)", "title"),
        (r'(<p class="mute">)[-0-9: ]+UTC(</p>)', "time"),
        (r'(<script type="application/json" id="about">).*?(</script>)', "about"),
    ):
        report = re.sub(pattern, rf"\1<!--{mark}-->\2", report, count=1, flags=re.DOTALL)
    assert ROWS in report
    return report


def _file(name: str) -> str:
    folder = files("edge_mri.serve") / "templates"
    return (folder / name).read_text(encoding="utf-8")
