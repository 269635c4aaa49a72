"""When a model does not answer, fitted and added to its graph.

novelty      how unlike the training images an image is
rejection    the thresholds
"""
