"""Imported by every Python of a gateway that bench.against measures: a worker goes on under callgrind.

Counting is off until callgrind_control switches it on, so that start and policy do not count. The supervisor gives such
a worker the time that it needs.
"""

import os
import sys

SLOWER = 30

if "gateway.worker" in sys.orig_argv and "SLUICE_COUNTED" not in os.environ:
    os.environ["SLUICE_COUNTED"] = "1"
    out = os.path.join(os.environ["SLUICE_CALLGRIND"], "callgrind.%p")
    options = ["--tool=callgrind", "--instr-atstart=no", "--quiet", f"--callgrind-out-file={out}"]
    os.execvp("valgrind", ["valgrind", *options, sys.executable, *sys.orig_argv[1:]])
elif "run" in sys.orig_argv:
    from supervisor.workers.slot import Timing

    Timing.__init__.__defaults__ = tuple(value * SLOWER for value in Timing.__init__.__defaults__ or ())
