"""The verifier: bounded, answered in any case, and never by users that are no longer in force."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from supervisor.users import dummy_hash, hash_password, verify_password
from supervisor.verifier import Verifier

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
        verifier = Verifier(asyncio.get_running_loop(), verify, queue=queue)
        try:
            await asyncio.wait_for(body(verifier), 30)
        finally:
            verifier.close()

    asyncio.run(run())


def ask(verifier: Verifier, user: bytes, password: bytes) -> "asyncio.Future[tuple[bool, bool]]":
    answer: asyncio.Future[tuple[bool, bool]] = asyncio.get_running_loop().create_future()
    verifier.check(user, password, lambda ok, busy: answer.set_result((ok, busy)))
    return answer


def test_real_hashes() -> None:
    async def body(verifier: Verifier) -> None:
        hashes = {"bot": hash_password(b"secret", CHEAP), "ü": hash_password(b"\xff\x01", CHEAP)}
        verifier.set_users(hashes, dummy_hash(hashes.values()))
        assert await ask(verifier, b"bot", b"secret") == (True, False)
        assert await ask(verifier, "ü".encode(), b"\xff\x01") == (True, False)
        for user, password in (
            (b"bot", b"Secret"),
            (b"bot", b""),
            (b"nobody", b"secret"),
            (b"\xff", b"secret"),
            (b"", b""),
        ):
            assert await ask(verifier, user, password) == (False, False)

    with_verifier(verify_password, body)


def test_without_users_nobody_passes() -> None:
    async def body(verifier: Verifier) -> None:
        assert await ask(verifier, b"bot", b"secret") == (False, False)

    with_verifier(verify_password, body)


def test_an_unknown_user_costs_a_check_and_never_passes() -> None:
    """Time must not tell which names exist: the dummy is checked; and it fitting by chance grants nothing."""
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        answer = ask(verifier, b"nobody", b"dummy")
        slow.go.release()
        assert await answer == (False, False)
        assert slow.running == [b"dummy"]

    with_verifier(slow, body)


def test_what_does_not_fit_is_answered_busy_at_once() -> None:
    slow = Slow()

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        answers = [ask(verifier, b"bot", b"x") for _ in range(2 + 3)]
        assert verifier.waiting() == 3
        for _ in range(4):
            assert await ask(verifier, b"bot", b"x") == (False, True)
        assert verifier.busy == 4
        slow.go.release(5)
        assert [await answer for answer in answers] == [(True, False)] * 5
        slow.go.release()
        assert await ask(verifier, b"bot", b"x") == (True, False), "there is room again"

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
        assert await changed == (False, False), "the old password is old"
        assert await same == (True, False)
        assert await waiting == (True, False)
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
        assert await answer == (False, False)

    with_verifier(slow, body)


def test_a_check_that_fails_by_itself_is_a_no() -> None:
    def broken(password: bytes, text: str) -> bool:
        raise MemoryError

    async def body(verifier: Verifier) -> None:
        verifier.set_users({"bot": "x"}, "dummy")
        for _ in range(5):
            assert await ask(verifier, b"bot", b"x") == (False, False)

    with_verifier(broken, body)


def test_passwords_do_not_show() -> None:
    from supervisor.bus import Verify
    from supervisor.verifier import _Check

    assert "secret" not in repr(Verify(slot=0, id=1, user=b"u", password=b"secret"))
    assert "secret" not in repr(_Check(b"u", b"secret", lambda ok, busy: None))
