"""`python tests/support/launch.py CONFIG [--fault F] [--quick | --patient] [--compile SCRIPT]`: the supervisor with
stand-in workers."""

import argparse
import dataclasses
import sys
from pathlib import Path

from supervisor.supervisor import Options, run
from supervisor.workers.slot import Timing

STAND_IN = str(Path(__file__).with_name("stand_in_worker.py"))
QUICK = Timing(
    hello=1.0,
    load=1.0,
    backoff_first=0.02,
    backoff_most=0.2,
    healthy=0.5,
    stop=0.5,
    drain_grace=0.5,
    beat=0.2,
    beats=5,
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--fault", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--patient", action="store_true", help="quick, and no worker is killed for standing still")
    parser.add_argument("--compile")
    arguments = parser.parse_args()
    options = Options(worker_command=[sys.executable, STAND_IN, "--fault", arguments.fault])
    if arguments.quick:
        options = Options(options.worker_command, timing=QUICK)
    if arguments.patient:
        timing = dataclasses.replace(QUICK, hello=30.0, load=30.0, beats=1_000_000)
        options = Options(options.worker_command, timing=timing)
    if arguments.compile:
        options = Options(options.worker_command, [sys.executable, arguments.compile], options.timing)
    return run(arguments.config, options)


if __name__ == "__main__":
    sys.exit(main())
