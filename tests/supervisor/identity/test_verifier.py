"""The verifier: bounded, answered in any case, and never by users that are no longer active."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable

from gateway.contract import BUSY, LIMITED, RIGHT, WRONG
from supervisor.identity.login_queue import OF_SOURCE
from supervisor.identity.passwords import credential_of, dummy_hash, hash_password, verify_password
from supervisor.identity.verifier import Verifier

CHEAP = (1024, 8, 1)


class Slow:
    """A check that waits until it is let go: `hash` fits the password of the same bytes."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.running: list[bytes] = []

    def __call__(self, password: bytes, text: str) -> bool:
        self.running.append(password)
        assert self.go.acquire(timeout=30)
        return password == text.encode()


def with_verifier(
    verify: Callable[[bytes, str], bool], body: Callable[[Verifier], Awaitable[None]], queue: int = 64
) -> None:
    async def run() -> None:
        barred: list[int] = []
        verifier = Verifier(asyncio.get_running_loop(), verify, lambda source, _: barred.append(source), queue=queue)
        try:
            await asyncio.wait_for(body(verifier), 30)
        finally:
            verifier.close()

    asyncio.run(run())


def ask(verifier: Verifier, user: bytes, password: bytes, source: int = 1) -> "asyncio.Future[tuple[int, int]]":
    """(result, credential)"""
    answer: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    verifier.check(source, user, password, lambda result, credential: answer.set_result((result, credential)))
    return answer


def right(text: str) -> tuple[int, int]:
    """The answer to the password of a hash."""
    return RIGHT, credential_of(text)


NO = (WRONG, 0)
FULL = (BUSY, 0)
OVER = (LIMITED, 0)


def test_real_hashes() -> None:
    async def body(verifier: Verifier) -> None:
        hashes = {"bot": hash_password(b"secret", CHEAP), "ü": hash_password(b"\xff\x01", CHEAP)}
        verifier.set_users(hashes, dummy_hash(hashes.values()))
        assert await ask(verifier, b"bot", b"secret") == right(hashes["bot"])
        assert await ask(verifier, "ü".encode(), b"\xff\x01") == right(hashes["ü"])
        for user, password in (
            (b"bot", b"Secret"),
            (b"bot", b""),
            (b"stranger", b"secret"),
            (b"\xff", b"secret"),
            (b"", b""),
        ):
            assert await ask(verifier, user, password) == NO

    with_verifier(verify_password, body)


def test_without_users_nobody_passes() -> None:
    async def body(verifier: Verifier) -> None:
        assert await ask(verifier, b"bot", b"secret") == NO

    with_verifier(verify_password, body)


def test_an_unknown_user_costs_a_check_and_never_passes() -> None:
    """Time must not tell which names exist: the dummy is checked; and it fitting by chance grants nothing."""
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        answer = ask(verifier, b"stranger", b"dummy")
        slow.go.release()
        assert await answer == NO
        assert slow.running == [b"dummy"]

    with_verifier(slow, body)


def test_what_does_not_fit_is_answered_busy_at_once() -> None:
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        answers = [ask(verifier, b"bot", b"x", source) for source in range(2 + 3)]
        assert verifier.waiting() == 3
        for source in range(10, 14):
            assert await ask(verifier, b"bot", b"x", source) == FULL
        assert verifier.busy == 4
        slow.go.release(5)
        assert [await answer for answer in answers] == [right("x")] * 5
        slow.go.release()
        assert await ask(verifier, b"bot", b"x", 7) == right("x"), "there is room again"

    with_verifier(slow, body, queue=3)


def test_a_check_that_a_reload_overtook_is_made_again() -> None:
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "old", "same": "same"}, "dummy")
        changed, same = ask(verifier, b"bot", b"old"), ask(verifier, b"same", b"same")
        waiting = ask(verifier, b"bot", b"new")
        while len(slow.running) < 2:
            await asyncio.sleep(0.001)
        verifier.set_users({"bot": "new", "same": "same"}, "dummy")
        slow.go.release(4)
        assert await changed == NO, "the old password is old"
        assert await same == right("same")
        assert await waiting == right("new")
        assert sorted(slow.running) == [b"new", b"old", b"old", b"same"], "only what changed is checked twice"

    with_verifier(slow, body)


def test_a_user_that_a_reload_removed_does_not_pass() -> None:
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        answer = ask(verifier, b"bot", b"x")
        while not slow.running:
            await asyncio.sleep(0.001)
        verifier.set_users({}, "dummy")
        slow.go.release(2)
        assert await answer == NO

    with_verifier(slow, body)


def test_a_check_that_fails_by_itself_is_a_no() -> None:
    def broken(password: bytes, text: str) -> bool:
        raise MemoryError

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        for _ in range(5):
            assert await ask(verifier, b"bot", b"x") == NO

    with_verifier(broken, body)


def test_passwords_do_not_show() -> None:
    from supervisor.identity.verifier import _Password, _Token
    from supervisor.workers.bus import Verify, VerifyToken

    assert "secret" not in repr(Verify(slot=0, id=1, source=2, user=b"u", password=b"secret"))
    assert "secret" not in repr(_Password(1, b"u", b"secret", lambda result, credential: None, "secret"))
    assert "secret" not in repr(VerifyToken(slot=0, id=1, source=2, token=b"secret"))
    assert "secret" not in repr(_Token(1, b"secret", lambda result, facts, reason: None))


def test_sources_take_turns_whatever_one_of_them_sends() -> None:
    """Two sources guess without end; the one login of a third is the next but two."""
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy", (10_000, 1.0))
        guesses = [ask(verifier, b"bot", b"guess", source) for source in (1, 2) for _ in range(100)]
        honest = ask(verifier, b"bot", b"x", 3)
        assert len([answer for answer in guesses if answer.done()]) == 200 - 2 * OF_SOURCE - 2, "their share is full"
        assert all(answer.result() == OVER for answer in guesses if answer.done())
        slow.go.release(2 + 2 + 1)
        assert await honest == right("x")
        assert verifier.busy == 0
        slow.go.release(200)

    with_verifier(slow, body)


def test_a_source_whose_logins_fail_is_not_verified_for_a_while() -> None:
    def wrong(password: bytes, text: str) -> bool:
        return False

    async def run() -> None:
        barred: list[tuple[int, float]] = []
        verifier = Verifier(asyncio.get_running_loop(), wrong, lambda *which: barred.append(which))
        verifier.set_users({"bot": "x"}, "dummy", (3, 3600.0))
        try:
            for _ in range(3):
                assert await ask(verifier, b"bot", b"x", 1) == NO
                verifier.failed(2)
            assert barred == []
            assert await ask(verifier, b"bot", b"x", 1) == NO
            assert barred == [(1, 1.0)]
            assert await ask(verifier, b"bot", b"x", 1) == OVER
            assert await ask(verifier, b"bot", b"x", 3) == NO, "others are verified"
            verifier.failed(2)
            assert barred == [(1, 1.0), (2, 1.0)], "what a worker remembers as wrong counts"
        finally:
            verifier.close()

    asyncio.run(run())


def test_hashing_yields_to_traffic() -> None:
    """The threads' priority is lower than the supervisor's."""
    found: list[int] = []

    def priority(password: bytes, text: str) -> bool:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return True

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        assert await ask(verifier, b"bot", b"x") == right("x")

    with_verifier(priority, body)
    assert found[0] > os.getpriority(os.PRIO_PROCESS, 0)
