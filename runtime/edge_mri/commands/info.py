"""`edge-mri info`: the contract of a model, in words or as JSON."""

import json
from pathlib import Path
from typing import Any

import click

from edge_mri.classifier import Classifier
from edge_mri.commands.options import PATH


@click.command("info")
@click.argument("model", required=False, type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the contract as JSON.")
def command(model: Path | None, as_json: bool) -> None:
    """Show what MODEL says about itself; without MODEL, the one that ships."""
    classifier = Classifier.load(model, device="cpu")
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
        f"input          uint8 (N, 1, {spec.size}, {spec.size}); {spec.fit}, {spec.resize}",
        f"temperature    {contract.temperature:g}",
        *_section("quantization", contract.quantization),
        *_section("parity", contract.parity),
        *_section("training", contract.training),
        f"licence        {contract.licence or 'not stated'}",
        f"intended use   {contract.intended_use}",
        f"written by     edge-mri {contract.toolkit_version}",
    ]
    click.echo("\n".join(lines))


def _section(title: str, values: dict[str, Any]) -> list[str]:
    rows = [f"{key}: {_short(value)}" for key, value in values.items()]
    return [f"{title if row == 0 else '':<15}{text}" for row, text in enumerate(rows)]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
