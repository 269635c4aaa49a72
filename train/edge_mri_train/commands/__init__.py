"""The commands that need training or data extras, one module each with a click `command`.

What several of them declare alike is in `options`.
"""
