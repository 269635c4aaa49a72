"""ONNX classifiers made elsewhere, as bodies like those of the toolkit's own networks.

    input_spec     what such a model takes: range, mean and deviation, layout, size
    class_names    the names of its classes, and images in folders of these names
    foreign        the original as it is: what it takes and gives, its answers
    ending         how its graph ends: in logits, or in probabilities
    simplified     its graph in the opset of the toolkit's, for any batch, constants folded
    grey           its graph behind one grey channel

What is done with a body is `edge_mri_export.exporting`'s, the same for all.
"""
