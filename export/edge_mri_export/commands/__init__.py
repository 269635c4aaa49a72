"""The commands that need the export extra, one module each with a click command."""
