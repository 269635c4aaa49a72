"""How a figure is taken, and the record that holds all of them.

    rounds, stages, pinning, noise
                 interleaved rounds of steps on certain cores, on a quiet machine or not
    statistics   what samples say
    physics, bounds, goals
                 what no backend can pass, what bounds one, what was aimed at
    machine, cpu_kinds
                 what it ran on
    results, record
                 the document for machines

Which figures a run takes is `edge_mri_bench.measuring`.
"""
