"""What happens to a batch: how it is chosen, what it is compared with, what that changes.

    slices, order, batches                 from images in memory to batches
    loss, objective, distillation, hints   what an answer is compared with
    optimizer, last_layers, starting_share
                                           what moves the weights
    ranks                                  several processes as one

A whole run, from configuration to checkpoint, is `edge_mri_train.training`.
"""
