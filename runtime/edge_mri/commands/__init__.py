"""The commands of the command line, one module each with a click command named `command`.

What several of them declare alike is in `options` and `option_groups`.
"""
