"""How good a model is on images it has not learned from.

    evaluating   all readings of a set: the one way in
    predictor    a checkpoint or an ONNX file, asked alike
    figures      answers against labels (metrics: one set of figures; intervals)
    leakage      which test images a model has seen
    comparison   what several sets say together
    page         the figures as a page

No torch, unless a checkpoint is measured.
"""
