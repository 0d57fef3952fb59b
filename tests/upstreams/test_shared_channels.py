"""A channel that callers share: what a server says late belongs to nobody else."""

import asyncio
import json

from customhouse.adapters.upstreams.duplex import LATE_SECONDS, Conversation
from customhouse.adapters.upstreams.overhearing import Overhearing
from customhouse.core.manifest import Era
from customhouse.ports.traffic import Ask
from tests.sealers.support import Moving
from tests.upstreams.support import Heard, Noted


class Taken:
    """A channel that takes everything."""

    async def send(self, message: bytes) -> None:
        """It is gone."""

    def end(self) -> None:
        """Nothing stands behind it."""


LOG = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "of alice"}}).encode()


def answer(own_id: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": own_id, "result": {}}).encode()


async def test_a_log_message_that_comes_late_is_not_taken_for_the_next_callers() -> None:
    clock = Moving()
    talk = Conversation("shared", Overhearing("shared", Noted(), lambda _: ()), clock.monotonic)
    talk.begin(Taken())
    talk.settle_modern()

    async def call(own_id: int, conversation: str, *said: bytes, method: str = "tools/call") -> Heard:
        heard = Heard()
        ask = Ask(method, {"name": "t"}, Era.MODERN, clock.monotonic() + 5, conversation=conversation)
        calling = asyncio.create_task(talk.request(ask, heard))
        await asyncio.sleep(0)
        for message in (*said, answer(own_id)):
            talk.receive(message)
        await calling
        return heard

    await call(1, "", method="tools/list")
    assert len((await call(2, "alice", LOG)).said) == 1
    assert (await call(3, "bob", LOG)).said == []
    assert (await call(4, "bob", LOG)).said == []
    clock.at += LATE_SECONDS
    assert len((await call(5, "bob", LOG)).said) == 1
