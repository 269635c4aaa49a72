"""The state after a run's last whole epoch: written, read back with distrust, and taken up again.

It knows what it belongs to: settings, images and their memory. Where `config.json`, `split.csv` or
`seen.bin` are no longer those of the last epoch, going on would make another model than was begun.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_mri.errors import EdgeMriError
from edge_mri_train.data.folders import Sample
from edge_mri_train.errors import RunFolderError, first_line
from edge_mri_train.networks.checkpoint import Checkpoint, load_network, save_state
from edge_mri_train.networks.tensor_file import read_tensors
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.runs import CHECKPOINT, CONFIG, LAST, MANIFEST, SEEN

if TYPE_CHECKING:
    from edge_mri_train.training.trainer import Trainer

OF_A_PLACE = (  # may move
    "data",
    "device",
    "distill",
    "distill_arch",
    "index",
    "init_weights",
    "labels",
    "split",
)


def save_last(trainer: "Trainer") -> None:
    """Write `last.pt`."""
    average, hints = trainer.average, trainer.hints
    save_state(
        {
            "network": trainer.network.state_dict(),
            "average": None if average is None else average.state_dict(),
            "hints": None if hints is None else hints.state_dict(),
            "beginning": trainer.beginning,
            "optimizer": trainer.optimizer.state_dict(),
            "scheduler": trainer.scheduler.state_dict(),
            "history": trainer.history,
            "of": _belongings(
                trainer.config, [*trainer.train_samples, *trainer.val_samples], trainer.seen
            ),
        },
        trainer.out / LAST,
    )


def read_last(
    out: Path, config: TrainConfig, samples: Sequence[Sample], seen: bytes
) -> dict[str, Any] | None:
    """Read `last.pt`; None where no epoch is whole.

    Raises:
        RunFolderError: It is damaged or something else, or the run's other files are not those
            that it was written beside.
    """
    path = out / LAST
    if not path.exists():
        return None
    try:
        state = read_tensors(path, lambda reason: _lost(out, reason))
    except OSError as error:
        raise _lost(out, error.strerror or str(error)) from error
    if not isinstance(state, dict):
        raise _lost(out, "it is not a dictionary")
    if (of := state.get("of")) is not None:  # earlier versions kept none
        _require_same(out, of, _belongings(config, samples, seen))
    return state


def take_up(trainer: "Trainer", state: dict[str, Any]) -> None:
    """Give a trainer that has just been made the state that `read_last` returned."""
    try:
        load_network(trainer.network, state["network"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.scheduler.load_state_dict(state["scheduler"])
        if trainer.average is not None:
            load_network(trainer.average, state["average"])
        if trainer.hints is not None:
            load_network(trainer.hints, state["hints"])
        trainer.history = [dict(one) for one in state["history"]]
        _ = [float(one["score"]) for one in trainer.history]
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f"its contents do not fit the run: {first_line(error).rstrip(':')}"
        raise _lost(trainer.out, reason) from error


def _belongings(config: TrainConfig, samples: Sequence[Sample], seen: bytes) -> dict[str, Any]:
    settings = {name: one for name, one in asdict(config).items() if name not in OF_A_PLACE}
    lines = sorted(f"{one.path.as_posix()}\t{one.label}\t{one.split}" for one in samples)
    listed = "\n".join(lines).encode("utf-8", "surrogateescape")
    return {
        CONFIG: settings,
        MANIFEST: hashlib.sha256(listed).hexdigest(),
        SEEN: hashlib.sha256(seen).hexdigest(),
    }


def _require_same(out: Path, expected: Any, found: dict[str, Any]) -> None:
    known = expected if isinstance(expected, dict) else {}
    changed = [name for name, one in found.items() if known.get(name) != one]
    if changed:
        raise RunFolderError(
            f"{', '.join(str(out / name) for name in changed)} changed since the run's last epoch; "
            "a run goes on as it began: bring back the file as it was, or start a new run"
        )


def _lost(out: Path, reason: str) -> RunFolderError:
    try:
        Checkpoint.load(out / CHECKPOINT)
    except EdgeMriError:
        way_out = "start a new run"
    else:
        best = out / CHECKPOINT
        way_out = f"its best epoch is whole in {best}: start a new run from it with --init-weights"
    return RunFolderError(f"{out / LAST} cannot be used: {reason}; {way_out}")
