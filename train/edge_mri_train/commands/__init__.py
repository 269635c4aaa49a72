"""The commands that need training or data extras, one module each with a click command."""
