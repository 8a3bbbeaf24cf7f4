"""`python -m gateway.dns.lookup`: asks for one name as a worker does, for `explain --resolve`.

The question is one argument, the answer goes to a descriptor, each a JSON object (LookupQuestion and LookupAnswer of
contract.py). It judges nothing, and ends on its own: a resolver answers within dns.timeout.
"""

import argparse
import json
import os
from typing import Final, cast

from gateway.contract import LookupAnswer, LookupQuestion, LookupStatus
from gateway.dns.resolver import Resolver
from gateway.io.loop import Loop
from gateway.io.watch import Clock

# By ResolveStatus; FULL cannot be where one name is asked.
STATUSES: Final[tuple[LookupStatus, ...]] = ("name_not_found", "ok", "dns_timeout", "dns_failed", "dns_failed")


def look_up(question: LookupQuestion) -> LookupAnswer:
    """The addresses of a canonical name, in the order in which a worker would dial them."""
    loop = Loop()
    resolver = Resolver(loop, question["dns"])
    found: list[LookupAnswer] = []

    def heard(status: int, addresses: list[str]) -> None:
        found.append(LookupAnswer(status=STATUSES[status], addresses=addresses))
        end.start(0.0)

    # The loop ends between two turns, not within a callback of the resolver.
    end = Clock(loop, loop.stop)
    resolver.ask(question["name"].encode("ascii"), heard)
    loop.run()
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway.dns.lookup")
    parser.add_argument("--answer-fd", type=int, required=True)
    parser.add_argument("question")
    given = parser.parse_args()
    answer = look_up(cast(LookupQuestion, json.loads(given.question)))
    with os.fdopen(given.answer_fd, "wb") as sink:
        sink.write(json.dumps(answer).encode("ascii"))


if __name__ == "__main__":
    main()
