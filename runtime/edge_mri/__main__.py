"""`python -m edge_mri` is the command line."""

from edge_mri.cli import main

main()
