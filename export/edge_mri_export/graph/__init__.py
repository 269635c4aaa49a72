"""ONNX graphs: written from a network, edited, stored small.

    graph        a checkpoint's network as a graph
    editing      small changes of nodes and constants
    layers       the nodes with trained weights
    outputs      what a graph gives beside the logits
    half         a graph in 16 bits
    packing, sharing, weights, stored_contract
                 how constants are stored, their hash, and the contract beside them

Integers are `edge_mri_export.int8`.
"""
