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
from edge_mri_train.training.frozen_trunk import FEW
from edge_mri_train.training.run import resume, show_augmentation, train
from edge_mri_train.training.stages import resume_stages, train_stages

_CODE = ("arch", "distill_arch")


@click.command("train")
@data_option()
@layout_options
@path_option(
    "--split",
    metavar="MANIFEST",
    help="Train on a manifest of `edge-mri split` instead of --data.",
)
@click.option(
    "--fold", type=click.IntRange(0), metavar="N", help="Fold of the manifest that validates."
)
@click.option(
    "--validate-only",
    multiple=True,
    metavar="SET",
    help="Use this set of the manifest only for validation; give the name of its folder. May be "
    "given several times.",
)
@click.option(
    "--class-weights",
    type=click.Choice(CLASS_WEIGHTS),
    default="none",
    show_default=True,
    help="balanced: each class counts the same in the loss.",
)
@click.option(
    "--sampler",
    type=click.Choice(SAMPLERS),
    default="shuffle",
    show_default=True,
    help="How images are drawn. weighted: all classes equally often; sets: each set weighted by "
    "the square root of its size, separately for tumour and tumour-free images.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", *TASKS]),
    default="auto",
    show_default=True,
    help="Classify type and plane, or type alone; auto: the plane too if a folder names one.",
)
@click.option(
    "--recipe",
    "recipe_name",
    metavar="NAME",
    help=f"Settings to train with: {', '.join(recipe_names())}, or a .toml file. "
    "Options on the command line override it in every stage; --init-weights only in stages that "
    "start from imagenet.",
)
@click.option(
    "--arch",
    default="mobilenet_v2",
    metavar="NAME",
    show_default=True,
    help="Network: edge_net, artemis_cnn, a torchvision classifier by its name, NAME_lesion "
    "(with a lesion map), timm:NAME, or MODULE:FUNCTION, your own code, which is executed.",
)
@click.option(
    "--init-weights",
    metavar="imagenet|shipped|FILE|none",
    help="Weights to start from. shipped: those of the packaged model, an edge_net; without --arch "
    "and --recipe it implies --recipe edge_net_own.  [default: none "
    "for edge_net, artemis_cnn and your own; imagenet for the others, from torchvision or timm]",
)
@click.option(
    "--frozen-trunk",
    type=click.Choice(FROZEN),
    default="auto",
    show_default=True,
    help="Train the last layers on the features of the starting weights: first (then everything "
    "trains) or always (nothing else trains). auto: no, unless the starting weights have other "
    f"types; then first, or always with fewer than {FEW} images of the rarest type.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    help="Passes over the training images.  [default: those of the network's own recipe, else 12]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    default=32,
    metavar="N",
    show_default=True,
    help="Images per training step.",
)
@click.option(
    "--learning-rate",
    type=float,
    metavar="RATE",
    help="Peak learning rate.  [default: that of the network's own recipe, else 5e-4]",
)
@click.option(
    "--image-size",
    type=int,
    metavar="N",
    help="Input side in pixels.  [default: that of the network's own recipe, else 160]",
)
@click.option(
    "--augment/--no-augment", default=True, show_default=True, help="Augment the training images."
)
@click.option(
    "--augment-with",
    "switches",
    multiple=True,
    metavar="NAME=SHARE",
    help="Probability of an augmentation, 0 to 1; may be given several times. Names: "
    f"{', '.join(asdict(AugmentConfig()))}. "
    "heal covers a lesion with tissue, paste adds a lesion, decoy adds harmless tissue or spots. "
    "extract blacks out skull and scalp, extract_free sets this for tumour-free slices alone. "
    "frame crops to the head.",
)
@path_option(
    "--contact-sheet",
    metavar="FILE.png",
    help="Draw some augmented training images, and stop.",
)
@path_option(
    "--distill",
    multiple=True,
    metavar="CHECKPOINT",
    help="Teacher checkpoint for knowledge distillation; may be given several times.",
)
@click.option(
    "--distill-arch",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="Function that builds a teacher's network, if it is another than --arch.",
)
@click.option(
    "--specificity",
    type=float,
    metavar="SHARE",
    help="Say tumour from the lowest probability at which this share of the tumour-free validation "
    "images, averaged over the sets, is still called free.  [default: sensitivity and specificity "
    "of the worst sets are balanced]",
)
@click.option("--compile", is_flag=True, help="Compile the training step with torch.compile.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    help="Precision of the training step; auto: bfloat16 on CUDA, float32 on a CPU. bfloat16 is "
    "faster on CPUs with avx512_bf16 or amx, and much slower on others.  [default: auto]",
)
@click.option(
    "--val-fraction",
    type=float,
    default=1 / 3,
    metavar="SHARE",
    help="Share of the images for validation, if no folder is named like a validation split.  "
    "[default: 1/3]",
)
@seed_option("Seed of split, initial weights, order and augmentation.")
@device_option()
@path_option("--out", metavar="DIR", help="Folder of the run.  [default: runs/ARCH-DATE-TIME]")
@click.option(
    "--resume",
    "go_on",
    is_flag=True,
    help="Continue the run in --out (default: the newest). Give no other option, except --arch and "
    "--distill-arch again if they are your own functions.",
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

    Images in a folder named like a test split are left out. If a folder is named like a validation
    split, its images validate, the others train, and --val-fraction is ignored. The run's folder
    gets checkpoint, configuration, split manifest, history and curves.

    Exit code: 0; 2 for a usage error; 130 when interrupted: --resume continues.
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
