"""A recipe of several stages: one run after another, each with what those before it learned.

    runs/NAME/
        stages.json          what each stage does
        stages/TEACHER/      a run for each stage but the last
        config.json …        the last, as `edge_mri_train.training.run` has it

All stages have the images that the first one divided. A stage may start from the weights of an
earlier one, and be taught by earlier ones.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_mri.errors import EdgeMriError
from edge_mri.storage.atomic import write_json
from edge_mri.terminal.progress import Progress
from edge_mri_train.errors import RunFolderError
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.settings.data_file import read_text
from edge_mri_train.settings.runs import CHECKPOINT, CONFIG, MANIFEST, STAGES
from edge_mri_train.training.run import require_free, resume, train


@dataclass(frozen=True)
class Stage:
    """One run of several.

    Attributes:
        name: Of its folder; the last one's is the run's own.
        config: What it does; its images are the first stage's.
        start: The stage whose weights it starts from; None: what its configuration says.
        teachers: Earlier stages that teach it, beside those of its configuration.
    """

    name: str
    config: TrainConfig
    start: str | None = None
    teachers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        teachers = list(self.teachers)
        config = self.config.anchored().to_dict()
        return {"name": self.name, "start": self.start, "teachers": teachers, "config": config}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Stage":
        """Read it back."""
        config = TrainConfig.from_dict(values["config"])
        return cls(values["name"], config, values["start"], tuple(values["teachers"]))


def train_stages(stages: Sequence[Stage], out: Path, progress: Progress) -> Path:
    """Start a run of several stages; returns the last one's best checkpoint.

    Args:
        stages: In their order.
        out: The run's folder; it must not hold a run yet.
        progress: Where to say how it goes.
    """
    require_free(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json([stage.to_dict() for stage in stages], out / STAGES)
    return _go_on(stages, out, progress, ())


def resume_stages(out: Path, progress: Progress, named: Collection[str] = ()) -> Path:
    """Go on with a run of several stages; returns the last one's best checkpoint.

    Args:
        out: The run's folder, with `stages.json`.
        progress: Where to say how it goes.
        named: Functions that may run to make networks.

    Raises:
        RunFolderError: The folder's list of stages cannot be used.
    """
    file = out / STAGES
    text = read_text(file, lambda reason: RunFolderError(f"{file} cannot be read: {reason}"))
    try:
        stages = [Stage.from_dict(values) for values in json.loads(text)]
    except EdgeMriError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunFolderError(f"{file} is no list of stages: {error}") from error
    return _go_on(stages, out, progress, named)


def _go_on(stages: Sequence[Stage], out: Path, progress: Progress, named: Collection[str]) -> Path:
    folders = {one.name: out / STAGES.removesuffix(".json") / one.name for one in stages[:-1]}
    folders[stages[-1].name] = out
    checkpoint = out / CHECKPOINT
    for number, stage in enumerate(stages):
        folder = folders[stage.name]
        following = stages[number + 1 : number + 2]
        if following and (folders[following[0].name] / CONFIG).exists():
            continue  # it ended before the next began
        progress.say(f"Stage {number + 1} of {len(stages)}: {stage.name}")
        if (folder / CONFIG).exists():
            checkpoint = resume(folder, progress, named)
            continue
        config = stage.config
        if number:
            manifest = str(folders[stages[0].name] / MANIFEST)
            config = config.divided_by(manifest)
        if stage.start is not None:
            config = replace(config, init_weights=str(folders[stage.start] / CHECKPOINT))
        teachers = tuple(str(folders[one] / CHECKPOINT) for one in stage.teachers)
        config = replace(config, distill=(*config.distill, *teachers))
        checkpoint = train(config, folder, progress)
    return checkpoint
