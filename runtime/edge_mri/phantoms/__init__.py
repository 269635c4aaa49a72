"""Drawn heads, to try the toolkit without patients.

    phantom      a labelled phantom, and a folder of them: the one way in
    atlas        where things are in a head
    head         a head without a lesion
    tumour       lesions of each type
    dicom        a phantom as a series of DICOM files

The only place beside `edge_mri.labels` that knows the classes of the default label space.
"""
