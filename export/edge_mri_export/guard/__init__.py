"""Whether a file gives PyTorch's answers.

calibration  the images that are asked about
answers      what a network, a graph or a file says of them
comparison   two sets of answers
parity       how far apart they are, and when that is too far
"""
