"""`edge-mri train`: from folders of labelled images to a checkpoint."""

import shlex
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge_mri.cli import INTERRUPTED
from edge_mri.commands.options import device_option, path_option, seed_option
from edge_mri.errors import OptionError
from edge_mri.labels import TASKS
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.augmentation.pipeline import AugmentConfig
from edge_mri_train.commands.options import data_option, layout_options
from edge_mri_train.commands.stages import stages_of
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.settings.config import CLASS_WEIGHTS, FROZEN, PRECISIONS, SAMPLERS
from edge_mri_train.settings.recipe_files import recipe_names
from edge_mri_train.settings.runs import CONFIG, RUNS, STAGES, newest_run
from edge_mri_train.training.run import resume, show_augmentation, train
from edge_mri_train.training.stages import resume_stages, train_stages

_CODE = ("arch", "distill_arch")


@click.command("train")
@data_option()
@layout_options
@path_option(
    "--split",
    metavar="MANIFEST",
    help="Train on what a manifest of `edge-mri split` says, instead of --data.",
)
@click.option(
    "--fold", type=click.IntRange(0), metavar="N", help="Which fold of the manifest validates."
)
@click.option(
    "--validate-only",
    multiple=True,
    metavar="SET",
    help="A set of the manifest, by its folder's name, that validates and does not train; may be "
    "given several times.",
)
@click.option(
    "--class-weights",
    type=click.Choice(CLASS_WEIGHTS),
    default="none",
    show_default=True,
    help="Let each class count the same in the loss.",
)
@click.option(
    "--sampler",
    type=click.Choice(SAMPLERS),
    default="shuffle",
    show_default=True,
    help="How images are drawn; weighted: all classes equally often; sets: each image set by the "
    "root of its size, among tumours and among images without one.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", *TASKS]),
    default="auto",
    show_default=True,
    help="Answer type and plane, or type alone; auto: plane where a folder names one.",
)
@click.option(
    "--recipe",
    "recipe_name",
    metavar="NAME",
    help=f"What to train with: {', '.join(recipe_names())}, or a .toml file. "
    "Options given beside it win, in each of its stages; --init-weights in those that start from "
    "imagenet.",
)
@click.option(
    "--arch",
    default="mobilenet_v2",
    metavar="NAME",
    show_default=True,
    help="Network: edge_net, artemis_cnn, a torchvision classifier by its name, NAME_lesion, "
    "timm:NAME, or MODULE:FUNCTION, your own, whose code runs.",
)
@click.option(
    "--init-weights",
    metavar="imagenet|shipped|FILE|none",
    help="Weights to start from; shipped: those of the edge_net in this package, "
    "by --recipe edge_net_own where neither --arch nor --recipe is given.  [default: none "
    "for edge_net, artemis_cnn and your own; imagenet for the others, from torchvision or timm]",
)
@click.option(
    "--frozen-trunk",
    type=click.Choice(FROZEN),
    default="auto",
    show_default=True,
    help="Fit the last layers to the starting weights' features before everything trains (first), "
    "or instead of it (always); auto: where the starting weights know other types, as there are "
    "images.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help="Passes over the images.  [default: those of the network's own recipe, else 12]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    default=32,
    metavar="N",
    show_default=True,
    help="Images of one step.",
)
@click.option(
    "--learning-rate",
    type=float,
    metavar="RATE",
    help="At its peak.  [default: that of the network's own recipe, else 5e-4]",
)
@click.option(
    "--image-size",
    type=int,
    metavar="N",
    help="Input side in pixels.  [default: that of the network's own recipe, else 160]",
)
@click.option(
    "--augment/--no-augment", default=True, show_default=True, help="Change the training images."
)
@click.option(
    "--augment-with",
    "switches",
    multiple=True,
    metavar="NAME=SHARE",
    help="How often a change is made, 0 to 1; may be given several times. Changes: "
    f"{', '.join(asdict(AugmentConfig()))}.",
)
@path_option(
    "--contact-sheet",
    metavar="FILE.png",
    help="Draw what the augmentation makes of some training images, and stop.",
)
@path_option(
    "--distill",
    multiple=True,
    metavar="CHECKPOINT",
    help="A teacher whose answers are learned too; may be given several times.",
)
@click.option(
    "--distill-arch",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="The function that makes a teacher's network, where it is another than --arch.",
)
@click.option("--compile", is_flag=True, help="Compile the training step with torch.compile.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    help="Of the training step; auto: bfloat16 on CUDA, float32 on a CPU, where bfloat16 is faster "
    "on processors made for it (avx512_bf16, amx) and much slower on others.  [default: auto]",
)
@click.option(
    "--val-fraction",
    type=float,
    default=1 / 3,
    metavar="SHARE",
    help="Share of the images held out for validation where no folder names them.  [default: 1/3]",
)
@seed_option("Seed of division, initial weights, order and augmentation.")
@device_option()
@path_option("--out", metavar="DIR", help="The run's folder.  [default: runs/ARCH-DATE-TIME]")
@click.option(
    "--resume",
    "go_on",
    is_flag=True,
    help="Go on with the run in --out, or with the newest; takes no other option, but --arch and "
    "--distill-arch again where they are functions of your own.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    out: Path | None,
    go_on: bool,
    contact_sheet: Path | None,
    **options: Any,
) -> None:
    """Train a classifier on class folders and keep its best checkpoint.

    Images below a folder named like a test split are left out; those below one named like a
    validation split validate, the others train, and --val-fraction counts for nothing. The run's
    folder gets checkpoint, configuration, split manifest, history and curves.

    Exit code: 0; 2 on wrong use; 130 when interrupted, with what --resume goes on from.
    """
    progress = TerminalProgress()
    if go_on:
        _refuse_other_options(ctx)
        named = (options["arch"], *options["distill_arch"])
        folder = out or newest_run()
    else:
        stages = stages_of(ctx, options)
        config = stages[-1].config
        if contact_sheet is not None:
            show_augmentation(config, contact_sheet, progress)
            return
        name = config.arch.replace(":", "-")
        folder = out or RUNS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    try:
        if go_on:
            go = resume_stages if (folder / STAGES).exists() else resume
            checkpoint = go(folder, progress, named)
        elif len(stages) > 1:
            checkpoint = train_stages(stages, folder, progress)
        else:
            checkpoint = train(config, folder, progress)
    except KeyboardInterrupt:
        if not any((folder / one).exists() for one in (CONFIG, STAGES)):
            raise
        again = f"edge-mri train --resume --out {shlex.quote(str(folder))}{_code(options)}"
        click.echo(f"Interrupted; go on with: {again}", err=True)
        ctx.exit(INTERRUPTED)
    click.echo(str(checkpoint))


def _code(options: dict[str, Any]) -> str:
    """Return the options that name code, as they are to be typed again."""
    arch = [f" --arch {options['arch']}"] if is_own(options["arch"]) else []
    return "".join([*arch, *(f" --distill-arch {one}" for one in options["distill_arch"])])


def _refuse_other_options(ctx: click.Context) -> None:
    given = [
        f"--{name.replace('_', '-')}"
        for name in ctx.params
        if name not in ("go_on", "out", *_CODE)
        and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise OptionError(
            f"--resume goes on with the run's own settings; leave out {', '.join(given)}"
        )
