"""Networks by name, their starting weights, and the file that keeps a trained one.

    architectures       every network by its name
    artemis_cnn, edge_trunk, lesion_network, torchvision_trunk
                        those that torchvision does not have
    timm_network, own_network
                        those of timm, and functions of the user's own
    initial_weights     what a training starts from
    checkpoint          a trained network with all that is needed to use it
                        (tensor_file: read within bounds; digest: whether it is whole)

How they learn is `edge_mri_train.learning`.
"""
