"""Teachers: trained networks whose answers another learns.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from edge_mri.errors import OptionError
from edge_mri.labels import LabelSpace
from edge_mri.preprocess import PreprocessSpec
from edge_mri_train.checkpoint import Checkpoint


def load_teachers(
    checkpoints: Sequence[str], space: LabelSpace, spec: PreprocessSpec
) -> list[nn.Module]:
    """Load teachers; they must answer with the student's classes and see what it sees.

    Raises:
        OptionError: A teacher has other classes or another preprocessing.
        CheckpointError: A file is no checkpoint.
    """
    teachers = []
    for path in checkpoints:
        teacher = Checkpoint.load(Path(path))
        if teacher.labels != space or teacher.preprocess != spec:
            raise OptionError(
                f"the teacher {path} answers {len(teacher.labels.classes)} classes at "
                f"{teacher.preprocess.size} px, the student {len(space.classes)} at "
                f"{spec.size} px; expected the same"
            )
        for parameter in teacher.network.parameters():
            parameter.requires_grad_(False)
        teachers.append(teacher.network)
    return teachers
