"""The first lines of the command `sluice`: signals that reach `sluice run` while it starts are kept, not obeyed.

Most of a start's time are imports. Blocked signals wait in the kernel; the supervisor unblocks them once it has
handlers (CONTRACT.md section 1, Signals). Before these lines deploy/sluice has HUP and USR1 ignored.
"""

import signal
import sys


def main() -> None:
    """Runs the command line."""
    if sys.argv[1:2] == ["run"]:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))
    from supervisor.cli import main as command

    command()
