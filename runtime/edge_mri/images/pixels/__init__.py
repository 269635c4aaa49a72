"""What decoders make: grey pixels, and the rules that hold for every format.

    frame        one image of a file, with what the file says of it
    grey         stored values to 8 bits of grey (deep: which range of deeper ones is shown)
    levels       whether grey values are those of an image, or of a mask
    square       pixels that are not square, stretched
    plane        the plane that an orientation in the patient means
    limits       how large a file and an image may be

No format is known here.
"""
