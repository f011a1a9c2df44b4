"""Runs an experiment file to its report, from wherever the last attempt got to.

    rayrl run ─▶ controller ─▶ Ray Job of a unit ─▶ entry ─▶ execution ─▶ the stage's function
                     │              (jobs)                                    │
                     ├─ private_ray ─▶ supervisor ─▶ Ray                      ├─ context: progress, stop
                     └─ progress ◀──────────── run_folder: records, manifests ◀

A *unit* is a stage, or its part for one architecture (``stages``). The run folder alone says how far a run
is: a unit is done when its manifest is there, with the inputs and options that it would have now.
"""
