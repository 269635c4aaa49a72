"""The benchmark's commands of the command line, one module each, with a click `command`."""
