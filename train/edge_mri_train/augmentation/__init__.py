"""Random changes of training images that MR allows, one module a kind."""
