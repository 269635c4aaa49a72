"""Proof that an installation answers as it should.

values       images and answers that a model is known to give, kept beside it
check        the same images asked again here
"""
