"""A notice is signed, bounded, says where to decide, and carries no argument unless an operator wants it to."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from customhouse.adapters.stores.approvals import MemoryShelves, StoredApprovals
from customhouse.control.webhooks import GONE, PAUSES_SECONDS, Notices, notice_of, secret_bytes, signed
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import NotDelivered
from tests.gateway.support import Moving
from tests.ports.test_approvals import BOB, LIMITS, asking

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
URL = "https://hooks.example/approvals"


class Postbox:
    """A courier that answers as a test scripts it: a status, or None for nobody there."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.got: list[tuple[str, bytes, Mapping[str, str]]] = []

    async def deliver(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.got.append((url, body, headers))
        answer = self.answers.pop(0) if self.answers else 204
        if answer is None:
            raise NotDelivered("Nobody is there.")
        return answer


class Sending:
    """Notices over a store in memory; pauses take no time."""

    def __init__(self, *answers: int | None, with_arguments: bool = False) -> None:
        self.clock, self.postbox, self.pauses = Moving(), Postbox(*answers), list[float]()
        self.store = StoredApprovals(MemoryShelves())
        self.notices = Notices(
            self.postbox,
            URL,
            KEY,
            self.clock,
            lambda: self.store,
            lambda: ["acme"],
            lambda request: f"https://operators.example/approvals/{request.id}",
            with_arguments,
            self._pause,
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.at += seconds

    def ask(self, number: int = 1) -> str:
        return self.store.ask(asking(number, at=self.clock.now()), LIMITS).id


def told(postbox: Postbox, at: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(postbox.got[at][1])
    return found


async def test_each_new_request_is_told_once() -> None:
    sending = Sending()
    first = sending.ask()
    assert await sending.notices.look() == 1
    second = sending.ask(2)
    assert [await sending.notices.look(), await sending.notices.look()] == [1, 0]
    assert [headers["webhook-id"] for _, _, headers in sending.postbox.got] == [first, second]
    assert told(sending.postbox)["type"] == "approval.asked"
    assert told(sending.postbox)["data"]["where"] == f"https://operators.example/approvals/{first}"


async def test_what_was_decided_before_the_look_is_not_told() -> None:
    sending = Sending()
    sending.store.decide(sending.ask(), BOB, True, sending.clock.now())
    assert await sending.notices.look() == 0


@pytest.mark.parametrize("with_arguments", [False, True])
async def test_arguments_travel_only_where_an_operator_wants_that(with_arguments: bool) -> None:
    sending = Sending(with_arguments=with_arguments)
    sending.ask(4711)
    await sending.notices.look()
    assert (b"4711" in sending.postbox.got[0][1]) == with_arguments
    assert ("arguments" in told(sending.postbox)["data"]) == with_arguments
    assert told(sending.postbox)["data"]["argumentDigest"].startswith("sha256:")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    notice = notice_of(asking(), "where", with_arguments=False)
    headers = signed(notice, KEY, 1_700_000_000.9)
    assert headers["webhook-timestamp"] == "1700000000"
    covered = f"{notice.id}.1700000000.".encode() + notice.body
    expected = base64.b64encode(hmac.new(KEY, covered, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_a_receiver_that_is_away_is_tried_again_a_few_times_with_fresh_signatures() -> None:
    sending = Sending(None, 503)
    sending.ask()
    assert await sending.notices.look() == 1
    assert sending.pauses == list(PAUSES_SECONDS[:2])
    signatures = {headers["webhook-signature"] for _, _, headers in sending.postbox.got}
    ids = {headers["webhook-id"] for _, _, headers in sending.postbox.got}
    assert (len(signatures), len(ids)) == (3, 1)


async def test_a_notice_is_given_up_after_the_last_attempt(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending(*[500] * 10)
    sending.ask()
    assert await sending.notices.look() == 0
    assert len(sending.postbox.got) == len(PAUSES_SECONDS) + 1
    assert "HTTP status 500" in caplog.text
    assert await sending.notices.look() == 0


async def test_a_receiver_that_is_gone_gets_no_more() -> None:
    sending = Sending(GONE)
    sending.ask()
    await sending.notices.run()
    sending.ask(2)
    assert await sending.notices.look() == 0
    assert len(sending.postbox.got) == 1


async def test_looking_goes_on_after_the_store_was_away() -> None:
    sending = Sending(GONE)
    sending.ask()
    store, tries = sending.store, iter([True, False])

    def at_times() -> StoredApprovals:
        if next(tries, False):
            raise Refused(Reason.STORE_UNAVAILABLE)
        return store

    sending.notices.approvals = at_times
    await sending.notices.run()
    assert len(sending.postbox.got) == 1


@pytest.mark.parametrize("text", ["", KEY.hex(), "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode(), SECRET[6:]])
def test_a_secret_that_is_none_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_") as refused:
        secret_bytes(text)
    assert text[6:] == "" or text[6:] not in str(refused.value)


def test_a_secret_is_base64_behind_its_prefix() -> None:
    assert secret_bytes(SECRET) == KEY
