"""What a model's numbers mean: from logits to a record of one image, and of one volume.

    decision     tumour or none, answered or rejected
    prediction   the record of an image
    location     where the lesion map points
    volumes      the records of one volume, summed up
    audit        where a record comes from

Nothing here reads an image or writes a file.
"""
