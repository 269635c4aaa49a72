"""`edge-mri check`: test whether the installation answers as it should."""

import json
from pathlib import Path

import click

from edge_mri.classifier import Classifier
from edge_mri.commands.options import MODEL, device_option, signature_option
from edge_mri.errors import OptionError
from edge_mri.golden.check import Checked, check
from edge_mri.golden.values import read_golden, write_golden
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.terminal.printable import show

FAILED = 1


@click.command("check")
@click.argument("model", required=False, type=MODEL)
@device_option()
@signature_option()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--write",
    is_flag=True,
    help="Write the golden values of MODEL, which must be given, instead of comparing.",
)
@native_stderr_silenced()
def command(
    model: Path | None, device: str, require_signature: Path | None, as_json: bool, write: bool
) -> None:
    """Test the installation with MODEL; without MODEL, with the packaged model.

    The test classifies the images stored beside MODEL and compares the probabilities with those
    stored there (golden values).

    Exit code: 0 when it passes; 1 when it fails; 2 when the test cannot run.
    """
    if write and model is None:
        raise OptionError(
            "--write needs MODEL: the golden values of the packaged model come with it; "
            "name the file beside which new ones are to lie"
        )
    classifier = Classifier.load(model, device=device, require_signature=require_signature)
    if write:
        show([f"golden values in {write_golden(classifier)}"])
        return
    found = check(classifier, read_golden(classifier.path))
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        show(_told(found, classifier))
    if not found.passed:
        raise SystemExit(FAILED)


def _told(found: Checked, classifier: Classifier) -> list[str]:
    cpu = found.cpu
    contract = classifier.contract
    speed = "not measured" if found.file_ms is None else f"{found.file_ms:.2f} ms"
    cores = f"{found.threads} of {cpu['cores']}"
    return [
        f"model       {contract.name} {contract.precision}, sha256 {found.model_sha256[:16]}…",
        f"cpu         {cpu['name']}, {cpu['architecture']}, {cores} cores",
        f"features    {' '.join(cpu['features']) or 'none that INT8 gains from'}",
        f"provider    {found.provider}",
        f"versions    {', '.join(f'{name} {text}' for name, text in found.versions.items())}",
        f"speed       {speed} per 512 x 512 JPEG, one thread",
        f"answers     {found.n} golden images, largest difference {found.largest_difference:.4f}, "
        f"allowed {found.tolerance:g}",
        "PASS" if found.passed else f"FAIL: {found.reason}",
    ]
