"""What a run's settings ask for, tried before its images are read.

Network, size, device, teachers and starting weights are found wrong in a second here, and after
minutes of fingerprints otherwise. What the images themselves must have is
`edge_mri_train.training.dividing`; that the numbers are in range is
`edge_mri_train.settings.config`.
"""

import torch

from edge_mri.images.preprocess import PreprocessSpec
from edge_mri.labels import LabelSpace
from edge_mri_train.learning.distillation import read_teachers
from edge_mri_train.learning.hints import require_features
from edge_mri_train.learning.ranks import Ranks
from edge_mri_train.networks.initial_weights import IMAGENET, load_initial_weights, require_imagenet
from edge_mri_train.settings.config import TrainConfig
from edge_mri_train.training.configured import build_network, resolve_device


def check_config(config: TrainConfig, ranks: Ranks, space: LabelSpace | None = None) -> None:
    """Try what a run will need, but the download of ImageNet weights.

    `space` is that of the labels; None: the default one.

    Raises:
        OptionError: There is no such network, size, task or teacher, or they do not go together;
            or a batch is too small for so many processes.
        DeviceError: The device is not there.
        CheckpointError: A teacher is no checkpoint.
        InitialWeightsError: The starting weights are not there, or fit another network.
    """
    ranks.require_share(config.batch_size)
    resolve_device(config.device, ranks)
    spec = PreprocessSpec(config.image_size)
    space = space or LabelSpace()
    if config.task == "type":
        space = space.without_planes()
    network = build_network(config, len(space.classes), space)
    teachers = read_teachers(config.distill, spec, config.named)
    if teachers and config.distill_features:
        require_features(network, config.arch)
        for teacher in teachers:
            require_features(teacher.network, teacher.architecture)
    if config.init_weights == IMAGENET:
        require_imagenet(config.arch)
    else:
        black = torch.zeros(2, 1, spec.size, spec.size)
        load_initial_weights(network, config.arch, config.init_weights, black)
