"""`edge-mri verify`: check a model file: hash, signature, graph, answers."""

import json
from pathlib import Path

import click

from edge_mri.commands.options import PATH, path_option, signature_option
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_export.guard.parity import MAX_DROP
from edge_mri_export.integrity import Check
from edge_mri_export.verification import VerifyConfig, verify
from edge_mri_train.commands.options import arch_option

_WORDS = {True: "ok", False: "FAILED"}


@click.command("verify")
@click.argument("model", type=PATH)
@path_option("--checkpoint", help="Compare with this checkpoint's network, as the export did.")
@arch_option("its network")
@path_option(
    "--data",
    metavar="DIR",
    help="Class folders to compare on.  [default: the validation images of the checkpoint's run]",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="PERCENT",
    help="Largest share of changed answers, or loss of a class's sensitivity, allowed for a "
    f"quantised file.  [default: {MAX_DROP}]",
)
@signature_option()
@click.option("--json", "as_json", is_flag=True, help="Print everything that was measured as JSON.")
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    checkpoint: Path | None,
    named: tuple[str, ...],
    data: Path | None,
    max_drop: float | None,
    require_signature: Path | None,
    as_json: bool,
) -> None:
    """Check MODEL: contract, hash (edited or not), signature (who signed it), graph and answers.

    Exit code: 0; 1 when a check fails; 2 for a usage error.
    """
    config = VerifyConfig(model, checkpoint, data, max_drop, require_signature, named)
    found = verify(config, TerminalProgress())
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        for check in found.checks:
            show([f"{_word(check):<8} {check.name:<11} {check.detail}", *check.lines])
    if not found.passed:
        context.exit(1)


def _word(check: Check) -> str:
    if check.passed is None:  # other images than the export's can be measured on, not judged by
        return "skipped" if check.figures is None else "measured"
    return _WORDS[check.passed]
