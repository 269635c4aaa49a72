"""The page of a report, but for its rows: template, style, script, what the model says of itself.

The files are in `templates/`; what the page does in the browser is `templates/report.js`.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import Any

from edge_mri import __version__
from edge_mri.answers.volumes import Volume
from edge_mri.errors import listed
from edge_mri.model.contract import Contract
from edge_mri.pictures.report_rows import script_json

_TYPES = 40

ROWS = "<!--records-->"
"""Marks where the rows go."""


@dataclass(frozen=True)
class Page:
    """What a page tells.

    Attributes:
        contract: Of the model.
        model: Its file, for people.
        scale: What the colours of heatmaps mean; None where the model has no map.
        counts: Records by status and answer, and `all`.
        volumes: What slices say together.
        bounds: What is left out of the page; "": nothing.
    """

    contract: Contract
    model: str
    scale: str | None
    counts: Counter[str]
    volumes: Sequence[Volume]
    bounds: str

    def html(self) -> str:
        """Return the page with the mark `ROWS`."""
        script = template("records.js") + template("report.js")
        parts = {
            "title": escape(f"edge-mri report: {self.counts['all']:,} images"),
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "style": template("report.css"),
            "facts": facts_html(self.contract, self.model),
            "files": template("records.html"),
            "bounds": escape(self.bounds),
            "about": script_json(self._about()),
            "version": escape(__version__),
            "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "script": script,
        }
        return filled(template("report.html"), parts)

    def _about(self) -> dict[str, Any]:
        """Return what the page's script is told beside the rows."""
        contract = self.contract
        return {
            "types": contract.labels.types,
            "planes": contract.labels.planes,
            "counts": self.counts,
            "present": contract.labels.present_word,
            "threshold": contract.tumor_threshold,
            "scale": self.scale,
            "volumes": [one.to_dict() for one in self.volumes],
        }


def template(name: str) -> str:
    """Return a file of `templates/`."""
    folder = files("edge_mri.pictures") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Return a page with each `<!--name-->` replaced by its part, once, in the order of parts."""
    for name, value in parts.items():
        text = text.replace(f"<!--{name}-->", value, 1)
    return text


def _operating_point(contract: Contract) -> dict[str, str]:
    word = contract.labels.present_word
    if word is None:
        return {}
    return {f"Says {word}": f"from P(any {word}) = {contract.tumor_threshold:.3g}"}


def facts_html(contract: Contract, model: str) -> str:
    """Return what the model says about itself, as rows of a description list."""
    labels, training = contract.labels, contract.training
    gate = contract.rejection
    rejects = "never: it answers any image, also what is no brain MR"
    if gate is not None:
        low, high = gate.undecided
        rejects = f"as {gate.novel}: novelty above {gate.max_novelty:.4g}"
        if gate.max_foreign is not None:
            rejects = f"as foreign: log odds above {gate.max_foreign:.4g}; {rejects}"
        if low < high:
            rejects += f"; as undecided: P({labels.present_word}) from {low:.2f} to {high:.2f}"
        rejects += f"; answers {100 * gate.kept:.1f} % of {gate.n:,} validation images"
    data, validation = training.get("data"), training.get("validation")
    facts = {
        "Model": f"{contract.name}, {contract.precision} ({model})",
        "Types": listed(labels.types, most=_TYPES),
        "Planes": ", ".join(labels.planes) or "not answered",
        **_operating_point(contract),
        "Rejects": rejects,
        "Input": f"grey, {contract.preprocess.size} x {contract.preprocess.size} px",
        "Trained on": ", ".join(map(str, data)) if isinstance(data, list) else "not stated",
    }
    if isinstance(validation, dict) and {"type_accuracy", "type_n"} <= set(validation):
        facts["Validation"] = (
            f"type right on {100 * validation['type_accuracy']:.1f} % of "
            f"{validation['type_n']:,} images; on images from elsewhere it may be far less"
        )
    facts |= {
        "Weights": contract.weights_sha256[:16] or "hash not stated",
        "Licence": contract.licence or "not stated",
        "Intended use": contract.intended_use,
    }
    return "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
