"""Networks that torchvision does not have; by name they are in `edge_mri_train.architectures`."""
