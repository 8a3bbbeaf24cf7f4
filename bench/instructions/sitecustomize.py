"""Imported by every Python of a gateway that bench.against measures: a worker goes on under callgrind.

Counting is off until callgrind_control switches it on, so that start and policy do not count.
"""

import os
import sys

if "gateway.worker" in sys.orig_argv and "SLUICE_COUNTED" not in os.environ:
    os.environ["SLUICE_COUNTED"] = "1"
    out = os.path.join(os.environ["SLUICE_CALLGRIND"], "callgrind.%p")
    options = ["--tool=callgrind", "--instr-atstart=no", "--quiet", f"--callgrind-out-file={out}"]
    os.execvp("valgrind", ["valgrind", *options, sys.executable, *sys.orig_argv[1:]])
