"""A training run, from its configuration to its folder.

run          the one way in: train, resume
preflight    what can be known to fail before images are read (configured)
dividing     the run's images, divided or as a manifest says
inheritance  what starting weights and teachers bring with them
frozen_trunk whether the last layers begin, and how much trains after them
claim        the folder, held by one process
trainer      the epochs (last_state: where one ended)
validation   what is measured after each (operating_point, temperature)
history      what was measured, in files (curves: as a picture)
"""
