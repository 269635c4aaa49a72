"""The phases of a run, in the order of `edge_mri_bench.benchmark`.

run, workload         what is open and what it is asked about
opening               backends opened (layers: where one spends its time)
timing                all steps in interleaved rounds
starting              fresh processes
answering             whole folders and right answers (throughput, energy, accuracy)
growing               how cost grows (scaling, sweep)
"""
