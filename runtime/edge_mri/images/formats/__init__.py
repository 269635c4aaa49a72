"""One module a file format: bytes in, frames of grey pixels out, an `ImageError` for the rest.

    headers      which format it is, and how large, from the first bytes
    picture      JPEG, PNG, BMP, WebP as one still image (jpeg, png, webp: what is left out)
    tiff         the pages of a TIFF
    dicom        frames of a DICOM file; extra [dicom]
                 (deflated: inflated within bounds; dicom_elements: what is read of the header;
                 dicom_says: what it says that is no head in MR; dicom_place: where a frame lies)
    nifti        slices of a NIfTI volume; extra [nifti] (nifti_pair: of two files as of one)

Which format a file gets is decided by `edge_mri.images.reading`, never by its name.
"""
