"""Training one network: from labelled folders to a run folder with its best checkpoint.

    runs/NAME/
        config.json      what was asked for
        split.csv        which image was on which side
        seen.bin         hashes of all of them, by which the model knows what it has seen; those of
                         its starting weights and teachers too
        licence.txt      the licence of these, where they state one
        history.json     one entry an epoch
        history.csv      the same as a table
        curves.png       the same as a picture
        checkpoint.pt    the best by validation score, of an epoch or of the end
        last.pt          the state after the last whole epoch, from which `resume` goes on

All random numbers of an epoch follow from the seed and its number, so that a run that was killed
and resumed computes what it would have computed without. What an epoch does is
`edge_mri_train.training.trainer`.
"""

import os
import random
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.storage.atomic import atomic_path
from edge_mri.terminal.progress import NoProgress, Progress
from edge_mri_train.augmentation.contact_sheet import draw_contact_sheet
from edge_mri_train.augmentation.pipeline import Donors
from edge_mri_train.data.manifest import (
    check_manifest,
    manifest_space,
    read_manifest,
    write_manifest,
)
from edge_mri_train.data.split import TRAIN
from edge_mri_train.duplicates.seen import SeenImages
from edge_mri_train.errors import FactoryNotNamedError, RunFolderError, SeenImagesError
from edge_mri_train.learning.ranks import Ranks, joined
from edge_mri_train.learning.slices import Slices
from edge_mri_train.networks.own_network import is_own
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.data_file import read_data, read_text
from edge_mri_train.settings.runs import CONFIG, LICENCE, MANIFEST, SEEN
from edge_mri_train.training.claim import claimed
from edge_mri_train.training.dividing import divided, read_sets
from edge_mri_train.training.frozen_trunk import with_frozen_trunk
from edge_mri_train.training.inheritance import Inheritance
from edge_mri_train.training.last_state import read_last
from edge_mri_train.training.preflight import check_config
from edge_mri_train.training.trainer import Trainer

_SHEET_SOURCES = 400
_SHEET_IMAGES = 10


def train(config: TrainConfig, out: Path, progress: Progress) -> Path:
    """Start a run; under `torchrun`, this process's part of it.

    Args:
        config: What to do.
        out: The run's folder; it must not hold a run yet.
        progress: Where to say how it goes.

    Returns:
        The path of the best checkpoint.
    """
    require_free(out)
    with joined(config.device) as ranks, _claimed(out, ranks):
        if ranks.is_first:
            require_free(out)  # nobody was between
        progress = _of_first(ranks, progress)
        sets = read_sets(config, progress)
        check_config(config, ranks, sets.space)
        parts = divided(config, progress, sets)
        samples = [row.sample for row in parts.rows]
        inherited = Inheritance.of(config)
        seen = SeenImages.of(parts.fingerprints).with_those_of(inherited.seen).to_bytes()
        licence = inherited.licence
        config = with_frozen_trunk(config, samples, parts.space, inherited.labels, progress)
        trainer = Trainer(
            config, samples, seen, out, progress, ranks, licence=licence, space=parts.space
        )
        trainer.start()
        if ranks.is_first:
            write_manifest(parts.rows, out / MANIFEST, parts.space)
            with atomic_path(out / SEEN) as temporary:
                temporary.write_bytes(seen)
            if licence:
                with atomic_path(out / LICENCE) as temporary:
                    temporary.write_text(f"{licence}\n", encoding="utf-8")
            config.anchored().write(out / CONFIG)
        return trainer.go_on()


def resume(out: Path, progress: Progress, named: Collection[str] = ()) -> Path:
    """Go on with a run after its last whole epoch; returns the path of the best checkpoint.

    Args:
        out: The run's folder.
        progress: Where to say how it goes.
        named: Functions that may run to make networks; the run's own must be among them.

    Raises:
        FactoryNotNamedError: A network is made by a function that is not named.
    """
    config = TrainConfig.read(out / CONFIG)
    for option, names in (("--arch", (config.arch,)), ("--distill-arch", config.distill_arch)):
        for name in names:
            if is_own(name) and name not in named:
                raise FactoryNotNamedError(out, name, option)
    with joined(config.device) as ranks, _claimed(out, ranks):
        progress = _of_first(ranks, progress)
        ranks.require_share(config.batch_size)
        rows = read_manifest(out / MANIFEST)
        check_manifest(out / MANIFEST, rows, progress)
        samples = [row.sample for row in rows]
        seen, licence = _remembered(out), _licence(out)
        state = read_last(out, config, samples, seen)
        space = manifest_space(out / MANIFEST)
        trainer = Trainer(config, samples, seen, out, progress, ranks, licence=licence, space=space)
        trainer.start(state)
        return trainer.go_on()


def show_augmentation(config: TrainConfig, path: Path, progress: Progress) -> None:
    """Draw what a configuration's augmentation makes of some training images; see `contact_sheet`.

    Half of the images shown have an outlined lesion, where there are such.
    """
    spec = PreprocessSpec(config.image_size)
    parts = divided(config, progress)
    samples = [row.sample for row in parts.rows if row.sample.split == TRAIN]
    chosen = random.Random(config.seed).sample(samples, min(len(samples), _SHEET_SOURCES))
    slices = Slices.load(chosen, spec, "images", progress, parts.space)
    donors = Donors.of(slices.pixels[:, 0], slices.masks)
    order = sorted(range(len(slices)), key=lambda one: slices.has_lesion(one), reverse=True)
    shown = [*order[: _SHEET_IMAGES // 2], *order[-(_SHEET_IMAGES // 2) :]]
    views = [slices.view(one) for one in shown]
    draw_contact_sheet(views, config.augment, donors, config.seed, path)


def require_free(out: Path) -> None:
    """Raise `RunFolderError` where a folder holds a run already."""
    if os.path.exists(out / CONFIG):  # noqa: PTH110  # a path too long is False to it
        raise RunFolderError(
            f"{out} holds a run already; continue it with --resume, or choose another"
        )


def _claimed(out: Path, ranks: Ranks) -> AbstractContextManager[None]:
    return claimed(out) if ranks.is_first else nullcontext()


def _of_first(ranks: Ranks, progress: Progress) -> Progress:
    return progress if ranks.is_first else NoProgress()


def _licence(out: Path) -> str:
    file = out / LICENCE
    if not file.is_file():
        return ""
    return read_text(file, lambda reason: RunFolderError(f"{file}: {reason}")).strip()


def _remembered(out: Path) -> bytes:
    def lost(reason: str) -> RunFolderError:
        return RunFolderError(
            f"{out / SEEN} cannot be read: {reason}; bring it back as it was, or start a new run"
        )

    data = read_data(out / SEEN, lost)
    try:
        SeenImages.from_bytes(data)
    except SeenImagesError as error:
        raise lost(str(error)) from error
    return data
