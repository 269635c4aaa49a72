"""Image sets: what lies in their folders, and how they are divided without leaks.

    layout       how a set says what its images are (folders: by class folders; image_sets: several)
    passed_over  files that are no pictures, named rather than ignored
    scan         each file read once (inventory: its header; statistics: of its pixels)
    grouping     which images belong together
    split        the sides (partition: found from a set; manifest: as a file)
    outlines     lesions that an expert outlined
    pixels       network input of many files

No torch. What is wrong with a set is `edge_mri_train.audit`.
"""
