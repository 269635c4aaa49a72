"""The process that it all runs in: threads, signals, memory, and what is wrong around it.

    workers      how many threads there are to use
    worker_pool  threads that a signal cannot lose
    crew         threads that work at several tasks side by side
    signals      an orderly stop (interrupts: Ctrl-C in a command)
    memory       what running out of memory raises
    causes       which package beside edge-mri is missing, too old or broken
    quiet        what libraries must not say on stderr

Nothing here knows an image or a model.
"""
