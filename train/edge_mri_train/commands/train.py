"""`edge-mri train`: from folders of labelled images to a checkpoint."""

import shlex
from datetime import datetime
from pathlib import Path

import click
from click.core import ParameterSource

from edge_mri.cli import INTERRUPTED
from edge_mri.errors import OptionError
from edge_mri.labels import TASKS
from edge_mri.progress import TerminalProgress
from edge_mri.providers import DEVICES
from edge_mri_train.architectures import recipe
from edge_mri_train.config import CLASS_WEIGHTS, SAMPLERS, TrainConfig
from edge_mri_train.layout import layout_options
from edge_mri_train.runs import CONFIG, RUNS, newest_run
from edge_mri_train.training import resume, train


@click.command("train")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with class folders; may be given several times.",
)
@layout_options
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Train on what a manifest of `edge-mri split` says, instead of --data.",
)
@click.option("--fold", type=click.IntRange(0), help="Which fold of the manifest validates.")
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
    help="weighted draws classes equally often.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", *TASKS]),
    default="auto",
    show_default=True,
    help="Answer type and plane, or type alone; auto: plane where a folder names one.",
)
@click.option(
    "--arch",
    default="mobilenet_v2",
    show_default=True,
    help="artemis_cnn, or a torchvision classifier by its name.",
)
@click.option(
    "--init-weights",
    default="imagenet",
    show_default=True,
    metavar="imagenet|FILE|none",
    help="Weights to start from; artemis_cnn knows only FILE and none.",
)
@click.option("--epochs", type=click.IntRange(1), help="[default: the network's own, 12 or more]")
@click.option("--batch-size", type=click.IntRange(2), default=32, show_default=True)
@click.option("--learning-rate", type=float, help="Peak.  [default: the network's own]")
@click.option("--image-size", type=int, help="Input side in pixels.  [default: the network's own]")
@click.option("--augment/--no-augment", default=True, show_default=True)
@click.option(
    "--val-fraction",
    type=float,
    default=1 / 3,
    show_default="1/3",
    help="Share of the images held out for validation.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run's folder.  [default: runs/ARCH-DATE-TIME]",
)
@click.option(
    "--resume",
    "go_on",
    is_flag=True,
    help="Go on with the run in --out, or with the newest; takes no other option.",
)
@click.pass_context
def command(
    ctx: click.Context,
    data: tuple[Path, ...],
    maps: tuple[str, ...],
    index: Path | None,
    split: Path | None,
    fold: int | None,
    class_weights: str,
    sampler: str,
    task: str,
    arch: str,
    init_weights: str,
    epochs: int | None,
    batch_size: int,
    learning_rate: float | None,
    image_size: int | None,
    augment: bool,
    val_fraction: float,
    seed: int,
    device: str,
    out: Path | None,
    go_on: bool,
) -> None:
    """Train a classifier on class folders and keep its best checkpoint.

    Images below a folder named like a test split are left out. Writes checkpoint, configuration,
    split manifest, history and curves into the run's folder.
    """
    progress = TerminalProgress()
    if go_on:
        _refuse_other_options(ctx)
        folder = out or newest_run()
    else:
        if split and (maps or index):
            raise OptionError("a manifest holds the labels already; leave out --map and --index")
        if bool(data) == bool(split):
            raise OptionError(
                "expected either --data, at least one folder with class folders, or --split, "
                "a manifest of `edge-mri split`"
            )
        own = recipe(arch)
        config = TrainConfig(
            data=tuple(str(root) for root in data),
            maps=maps,
            index=str(index) if index else None,
            split=str(split) if split else None,
            fold=fold,
            class_weights=class_weights,
            sampler=sampler,
            task=task,
            arch=arch,
            init_weights=init_weights,
            epochs=epochs or own.epochs,
            learning_rate=learning_rate if learning_rate is not None else own.learning_rate,
            image_size=image_size if image_size is not None else own.size,
            batch_size=batch_size,
            augment=augment,
            val_fraction=val_fraction,
            seed=seed,
            device=device,
        )
        folder = out or RUNS / f"{arch}-{datetime.now():%Y%m%d-%H%M%S}"
    try:
        checkpoint = resume(folder, progress) if go_on else train(config, folder, progress)
    except KeyboardInterrupt:
        if not (folder / CONFIG).exists():
            raise
        again = f"edge-mri train --resume --out {shlex.quote(str(folder))}"
        click.echo(f"Interrupted; go on with: {again}", err=True)
        ctx.exit(INTERRUPTED)
    click.echo(str(checkpoint))


def _refuse_other_options(ctx: click.Context) -> None:
    given = [
        f"--{name.replace('_', '-')}"
        for name in ctx.params
        if name not in ("go_on", "out")
        and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise OptionError(
            f"--resume goes on with the run's own settings; leave out {', '.join(given)}"
        )
