"""When a model does not answer, fitted and added to its graph.

novelty      how unlike the training images an image is
foreign      how surely it is no brain MR slice, where such images are shown at export
rejection    the thresholds

images       what they are fitted to and chosen on
changed      brain images as the training's augmentation and extraction show them
drawn        images that nobody took, and brain images that no scanner gives
features     what of the network they look at
"""
