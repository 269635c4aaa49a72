"""Teachers: trained networks whose answers another learns.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from edge_mri.errors import ModelNotFoundError, OptionError
from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_train.errors import FactoryNotNamedError
from edge_mri_train.networks.checkpoint import Checkpoint


def load_teachers(
    checkpoints: Sequence[str],
    space: LabelSpace,
    spec: PreprocessSpec,
    named: Collection[str] = (),
) -> list[Checkpoint]:
    """Load teachers, frozen; they must answer with the student's classes and see what it sees.

    Raises:
        OptionError: A teacher is not there, has other classes or another preprocessing.
        CheckpointError: A file is no checkpoint.
    """
    teachers = read_teachers(checkpoints, spec, named)
    for path, teacher in zip(checkpoints, teachers, strict=True):
        if teacher.labels != space:
            raise OptionError(
                f"the teacher {path} answers {len(teacher.labels.classes)} classes, the student "
                f"{len(space.classes)}; expected the same"
            )
        for parameter in teacher.network.parameters():
            parameter.requires_grad_(False)
    return teachers


def read_teachers(
    checkpoints: Sequence[str], spec: PreprocessSpec, named: Collection[str] = ()
) -> list[Checkpoint]:
    """Read teachers' checkpoints; they must see what the student sees.

    Args:
        checkpoints: Their files.
        spec: What the student sees.
        named: Functions that may run to make their networks.

    Raises:
        OptionError: A teacher is not there, or has another preprocessing.
        CheckpointError: A file is no checkpoint.
    """
    teachers = []
    for path in checkpoints:
        try:
            teacher = Checkpoint.load(Path(path), named)
        except FactoryNotNamedError as error:
            raise FactoryNotNamedError(Path(path), error.name, "--distill-arch") from error
        except ModelNotFoundError as error:
            raise OptionError(
                f"no teacher {path}; expected a checkpoint.pt written by `edge-mri train`"
            ) from error
        if teacher.preprocess != spec:
            raise OptionError(
                f"the teacher {path} sees {_told(teacher.preprocess)}, the student "
                f"{_told(spec)}; expected the same"
            )
        teachers.append(teacher)
    return teachers


def _told(spec: PreprocessSpec) -> str:
    return f"{spec.size} px (decode={spec.decode})"
