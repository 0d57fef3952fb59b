"""The operations of the grid, once for all clients in Python: read a job from standard input, run it, print what was seen as JSON.

A job names the target (`url` and `token`, or `command`), the transport, the mode, the operations with what each is to do, and how long
one may take. Each operation opens a connection of its own, so that one which fails spoils no other. It ends with `said`, the words that
came back, or with `error`.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Job = dict[str, Any]
Wish = dict[str, Any]

MODEL_SAYS = "Paris"
UPDATED = "notifications/resources/updated"


class Heard:
    """What the server says beside its answers."""

    def __init__(self) -> None:
        self.progress: list[float] = []
        self.logs: list[str] = []
        self.updates: list[str] = []
        self._something = asyncio.Event()

    async def on_progress(self, done: float, total: float | None, message: str | None) -> None:
        self.progress.append(done)
        self._something.set()

    async def on_log(self, message: Any) -> None:
        self.logs.append(str(message.data))
        self._something.set()

    async def on_message(self, message: Any) -> None:
        notification = getattr(message, "root", message)
        if getattr(notification, "method", "") == UPDATED:
            self.on_update(str(notification.params.uri))

    def on_update(self, uri: str) -> None:
        self.updates.append(uri)
        self._something.set()

    async def until(self, enough: Callable[[], Any], seconds: float) -> None:
        """Until enough was heard, or for so long."""
        try:
            async with asyncio.timeout(seconds):
                while not enough():
                    self._something.clear()
                    await self._something.wait()
        except TimeoutError:
            return


class Peer(Protocol):
    """A connected client, as far as the grid asks."""

    heard: Heard

    async def tools(self) -> list[str]: ...
    async def call(self, tool: str, arguments: dict[str, Any], *, with_progress: bool = False) -> str:
        """The text of the result, or of the tool's error, which then begins with `error:`."""
        ...

    async def begin(self, tool: str, arguments: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        """Start a call; what is returned cancels it."""
        ...

    async def want_logs(self) -> None: ...
    async def read(self, uri: str) -> str: ...
    def watching(self, uri: str) -> AbstractAsyncContextManager[None]:
        """While it is open, updates of the resource are heard."""
        ...

    async def prompt(self, name: str, arguments: dict[str, str]) -> str: ...
    async def complete(self, prompt: str, argument: dict[str, str]) -> list[str]: ...


async def list_tools(peer: Peer, wish: Wish) -> str:
    return " ".join(await peer.tools())


async def call(peer: Peer, wish: Wish) -> str:
    await asyncio.sleep(wish.get("settle_seconds", 0))
    return await peer.call(wish["tool"], wish["arguments"])


async def progress(peer: Peer, wish: Wish) -> str:
    result = await peer.call(wish["tool"], wish["arguments"], with_progress=True)
    return f"progress {' '.join(f'{step:g}' for step in peer.heard.progress)}; {result}"


async def log(peer: Peer, wish: Wish) -> str:
    await peer.want_logs()
    await peer.call(wish["tool"], wish["arguments"])
    await peer.heard.until(lambda: any(wish["word"] in each for each in peer.heard.logs), 2)
    return f"logs: {'; '.join(peer.heard.logs)}"


async def cancel(peer: Peer, wish: Wish) -> str:
    stop = await peer.begin(wish["tool"], wish["arguments"])
    # Where no progress arrives, the call has been under way for a while all the same.
    await peer.heard.until(lambda: peer.heard.progress, 1.5)
    await stop()
    return await peer.call(wish["probe"]["tool"], wish["probe"]["arguments"])


async def read(peer: Peer, wish: Wish) -> str:
    return await peer.read(wish["uri"])


async def subscribe(peer: Peer, wish: Wish) -> str:
    async with peer.watching(wish["uri"]):
        await peer.call(wish["tool"], wish["arguments"])
        await peer.heard.until(lambda: peer.heard.updates, 3)
    return f"updated {' '.join(peer.heard.updates)}"


async def prompt(peer: Peer, wish: Wish) -> str:
    return await peer.prompt(wish["prompt"], wish["arguments"])


async def complete(peer: Peer, wish: Wish) -> str:
    return " ".join(await peer.complete(wish["prompt"], wish["argument"]))


STEPS: dict[str, Callable[[Peer, Wish], Awaitable[str]]] = {
    "list": list_tools,
    "call": call,
    "progress": progress,
    "log": log,
    "cancel": cancel,
    "form": call,
    "url": call,
    "sampling": call,
    "roots": call,
    "read": read,
    "subscribe": subscribe,
    "prompt": prompt,
    "complete": complete,
}


def run(connect: Callable[[Job, Wish], AbstractAsyncContextManager[Peer]]) -> None:
    """Run the job on standard input with this client."""
    job: Job = json.load(sys.stdin)
    print(json.dumps(asyncio.run(_all(job, connect))))


async def _all(job: Job, connect: Callable[[Job, Wish], AbstractAsyncContextManager[Peer]]) -> dict[str, dict[str, str]]:
    return {name: await _one(job, connect, name, wish) for name, wish in job["plan"].items()}


async def _one(job: Job, connect: Callable[[Job, Wish], AbstractAsyncContextManager[Peer]], name: str, wish: Wish) -> dict[str, str]:
    said = ""
    try:
        async with asyncio.timeout(job["seconds"]):
            async with connect(job, wish) as peer:
                said = await STEPS[name](peer, wish)
            return {"said": said}
    except TimeoutError:
        return {"error": f"no end within {job['seconds']:g} s"}
    except Exception as error:  # noqa: BLE001 - whatever a client library raises is what this operation came to, unless it had ended by then
        return {"said": said} if said else {"error": _in_a_line(error)}


def _in_a_line(error: BaseException) -> str:
    """The first error inside."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
