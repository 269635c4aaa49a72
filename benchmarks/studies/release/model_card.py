r"""Writes `docs/model-card.md` from a model's contract and the figures that were recorded of it.

    python benchmarks/studies/release/model_card.py MODEL.onnx --figures docs/figures \
        --out docs/model-card.md

The folder holds what `edge-mri evaluate --json` wrote, one file an image set, named as the set is
to be called; `heatmaps.json` of `measure_heatmaps.py`, `rejection.json` of
`measure_rejection.py`, `pasting.json` of `measure_pasting.py` and `failures.json` of
`list_failures.py`; and of `measure_sources.py` `sources.json`, `sources_without_SETS.json` of twins
that learned nothing from some sets, and `other_lesions.json`, by kind, of `other_lesions.toml`.
What is not there is said to be missing. Texts are those of `model_card.md.jinja` beside this file.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2

from edge_mri.classifier import Classifier
from edge_mri.labels import LabelSpace

HERE = Path(__file__).parent
TEMPLATE = "model_card.md.jinja"
READINGS = {
    "all": "as given",
    "duplicate_free": "duplicate-free",
    "group_clean": "group-clean",
}
_OTHERS = ("failures", "heatmaps", "other_lesions", "pasting", "rejection", "sources")
_UNSEEN = "sources_without_"


def percent(share: float | None, interval: list[float] | None = None) -> str:
    """Return `99.3 (98.7 to 99.6)`; a dash for what could not be measured."""
    if share is None:
        return "-"
    told = f"{100 * share:.1f}"
    if interval is None:
        return told
    return f"{told} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def read_figures(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the evaluations by the set's name, and what else was measured by its own."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    others = {name: found.pop(name, None) for name in _OTHERS}
    unseen = [name for name in found if name.startswith(_UNSEEN)]
    others["unseen"] = {name.removeprefix(_UNSEEN): found.pop(name) for name in unseen}
    return found, others


def rows(evaluations: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row for each set and reading that has images."""
    return [
        {
            "images": name.replace("_", " "),
            "reading": READINGS[reading],
            "n": f"{part['asked']:,}",
            "answered": percent(part["coverage"]),
            "type": _accuracy(part["type"]),
            "plane": _accuracy(part["plane"]),
            "sensitivity": _share(part["tumor"], "sensitivity"),
            "specificity": _share(part["tumor"], "specificity"),
            "ece": _share(part["type"], "ece"),
            "misses": _share(part["tumor"], "confident_misses"),
        }
        for name, evaluation in evaluations.items()
        for reading, part in evaluation["subsets"].items()
        if reading in READINGS and part and part["n"]
    ]


def contrasts(evaluations: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row for each value of a tag, such as a contrast."""
    return [
        {
            "images": f"{name.replace('_', ' ')}, {value}",
            "n": f"{part['asked']:,}",
            "answered": percent(part["coverage"]),
            "auroc": _area(part["tumor"]),
            "sensitivity": _share(part["tumor"], "sensitivity"),
            "specificity": _share(part["tumor"], "specificity"),
        }
        for name, evaluation in evaluations.items()
        for values in (evaluation["by"] or {}).values()
        for value, part in values.items()
        if part["tumor"]
    ]


def _share(figures: dict[str, Any] | None, name: str) -> str:
    return percent(figures[name], figures[f"{name}_ci95"]) if figures else "-"


def _area(tumor: dict[str, Any]) -> str:
    low, high = tumor["auroc_ci95"] or (tumor["auroc"],) * 2
    return f"{tumor['auroc']:.3f} ({low:.3f} to {high:.3f})"


def _accuracy(axis: dict[str, Any] | None) -> str:
    return percent(axis["accuracy"], axis["ci95"]) if axis else "not labelled"


def card(model: Path, figures: Path) -> str:
    """Return the model card as Markdown."""
    contract = Classifier.load(model).contract
    evaluations, others = read_figures(figures)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(TEMPLATE).render(
        contract=contract.to_dict(),
        novel=contract.rejection and contract.rejection.novel,
        default_labels=contract.labels == LabelSpace(planes=contract.labels.planes),
        size_bytes=model.stat().st_size,
        sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        rows=rows(evaluations),
        contrasts=contrasts(evaluations),
        **others,
    )


def main() -> None:
    """Read the options and write the card."""
    parser = argparse.ArgumentParser(description="Write a model card from recorded figures.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_text(card(options.model, options.figures), encoding="utf-8")


if __name__ == "__main__":
    main()
