"""Quantisation: recipes, what repairs what they break, and the search for the best.

    recipe         what a user may ask for
    search         the one way in: from a float graph to the best quantised one
    trial          one quantised graph and how it did
    ranges, quantization, values
                   ranges of activations, and a graph quantised by them
    equalisation, rounding, repair, sums
                   changes that make a quantised graph answer like the float one
    qat, simulation, operations
                   fine-tuning through simulated integers

Whether a file may ship is `edge_mri_export.guard`'s to say.
"""
