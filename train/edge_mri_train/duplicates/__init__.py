"""Exact copies and near duplicates among images: found in near-linear time, grouped, remembered.

fingerprint   what is kept of an image: a hash of its pixels and a normalised thumbnail
descriptors   short vectors of images, of crops of them, and of the 8 symmetries
candidates    pairs that are worth a closer look, by nearest-neighbour search
registration  the closer look: one thumbnail registered on the other
search        all of it: from fingerprints to edges and groups
neighbours    the same from the side of one image
sketch        a perceptual hash of 63 bytes
seen          what a trained model remembers of its training images
"""
