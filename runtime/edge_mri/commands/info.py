"""`edge-mri info`: the contract of a model, in words or as JSON."""

import json
from pathlib import Path
from typing import Any

import click

from edge_mri.classifier import Classifier
from edge_mri.commands.options import MODEL, signature_option
from edge_mri.model.contract import Contract
from edge_mri.terminal.printable import show

_LONG = 88  # characters; what is longer gets lines of its own


@click.command("info")
@click.argument("model", required=False, type=MODEL)
@signature_option()
@click.option("--json", "as_json", is_flag=True, help="Print the contract as JSON.")
def command(model: Path | None, require_signature: Path | None, as_json: bool) -> None:
    """Show labels, thresholds, licence and training of MODEL; without it, of the packaged model."""
    classifier = Classifier.load(model, device="cpu", require_signature=require_signature)
    contract = classifier.contract
    if as_json:
        click.echo(json.dumps(contract.to_dict(), indent=2, ensure_ascii=False))
        return
    spec = contract.preprocess
    planes = ", ".join(contract.labels.planes) or "not answered"
    lines = [
        f"model          {contract.name} {contract.precision}, "
        f"{classifier.path.stat().st_size / 1e6:.2f} MB ({classifier.path})",
        f"types          {', '.join(contract.labels.types)}",
        f"planes         {planes}",
        f"nothing found  {contract.labels.absent or 'no type says so'}",
        f"input          uint8 (N, 1, {spec.size}, {spec.size}); {spec.fit}, {spec.resize}",
        f"temperature    {contract.temperature:g}",
        *(
            f"{'answers' if row == 0 else '':<15}{text}"
            for row, text in enumerate(_answering(contract))
        ),
        *_section("quantization", contract.quantization),
        *_section("parity", contract.parity),
        *_section("training", contract.training),
        f"licence        {contract.licence or 'not stated'}",
        f"intended use   {contract.intended_use}",
        f"written by     edge-mri {contract.toolkit_version}",
    ]
    show(lines)


def _section(title: str, values: dict[str, Any]) -> list[str]:
    rows = [row for key, value in values.items() for row in _rows(key, value)]
    return [f"{title if row == 0 else '':<15}{text}" for row, text in enumerate(rows)]


def _rows(key: str, value: Any) -> list[str]:
    """Return a value on one line, or below its name where it is a table or would be long."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [f"{key}:", *(f"  {row}" for row in _table(value))]
    line = f"{key}: {_short(value)}"
    if isinstance(value, dict) and len(line) > _LONG:
        return [f"{key}:", *(f"  {name}: {_short(inner)}" for name, inner in value.items())]
    return [line]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]" if value else "none"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows in columns, under their names; the first column on the left."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_short(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in cells
    ]


def _answering(contract: Contract) -> list[str]:
    """Return when the model says that something is there, and when it does not answer."""
    word = contract.labels.present_word
    lines = ["the most probable type"]
    if word is not None:
        lines = [f"P(any {word}) from {contract.tumor_threshold:.3g} on is a {word}"]
    gate = contract.rejection
    if gate is None:
        return [*lines, "every image is answered"]
    low, high = gate.undecided
    foreign = [] if gate.max_foreign is None else [f"log odds above {gate.max_foreign:.3g}"]
    return [
        *lines,
        *(f"rejected as foreign: {one}" for one in foreign),
        f"rejected as {gate.novel}: novelty above {gate.max_novelty:.3g}",
        *([f"rejected as undecided: P(any {word}) from {low:.3g} to {high:.3g}"] * (low < high)),
        f"{100 * gate.kept:.1f} % of {gate.n:,} validation images answered",
    ]
