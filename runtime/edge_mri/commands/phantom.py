"""`edge-mri phantom`: a folder of labelled drawings to try the toolkit on."""

from pathlib import Path

import click

from edge_mri.commands.options import PATH, seed_option
from edge_mri.labels import LabelSpace
from edge_mri.phantoms.phantom import FORMATS, PhantomConfig, write_phantoms
from edge_mri.terminal.progress import TerminalProgress


@click.command("phantom")
@click.argument("folder", type=PATH, metavar="DIR")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=10,
    metavar="N",
    show_default=True,
    help="Images per class.",
)
@click.option(
    "--size",
    "size_px",
    type=int,
    default=512,
    metavar="N",
    show_default=True,
    help="Side of an image in pixels.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="jpg",
    show_default=True,
    help="Format of the files; dcm: a series of DICOM files per image, with the extra [dicom].",
)
@click.option(
    "--slices",
    type=click.IntRange(1),
    default=PhantomConfig.slices,
    metavar="N",
    show_default=True,
    help="Files per series, with --format dcm.",
)
@seed_option("The same seed draws the same images.")
def command(folder: Path, count: int, size_px: int, format_: str, slices: int, seed: int) -> None:
    """Draw labelled head phantoms (four types x three planes) into DIR.

    They are drawings for trying the toolkit, not patients. Do not evaluate models on them: the
    packaged model never saw a drawing, and its answers on them mean nothing.
    """
    config = PhantomConfig(count=count, size_px=size_px, seed=seed, format=format_, slices=slices)
    progress = TerminalProgress()
    phantoms = len(LabelSpace().classes) * count
    total = phantoms * (slices if format_ == "dcm" else 1)
    with progress.bar("phantoms", total) as step:
        write_phantoms(folder, config, on_image=lambda _: step())
    progress.say(
        f"{phantoms} phantoms in {folder}: drawings, not patients. The packaged model never saw "
        "a drawing: its answers on them mean nothing."
    )
