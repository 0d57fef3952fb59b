"""Taking over what the control process published: a new view is built beside the calls and swapped whole, and what is blocked follows.

A call reads one view from its first step to its last. A picture that cannot be taken over changes nothing: the old view stays, and the
gateway says so. A build hands the interpreter back every millisecond, so calls go on meanwhile. What would hold it for longer is avoided:
no collection looks at a view, and what is no longer served is let go piece by piece, in a thread.
"""

import asyncio
import contextlib
import gc
import logging
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from customhouse.core.picture import Picture, read_picture
from customhouse.gateway.live import Live, View
from customhouse.ports.hosts import Views

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""Between two looks at what is current: with the build it bounds how long something revoked goes on being served."""

AGAIN_SECONDS = 1.0
"""Before a picture that could not be read is read again; one that was read and does not fit is not tried twice."""

SWITCH_SECONDS = 0.0002
"""After which a build that runs beside calls lets them go on."""


class _Former:
    """A view that calls may still hold, with the parts of it. Whoever frees a large object frees all of it in one go, which would be a
    pause of every call; so the parts are kept until the view itself is gone, and then let go one at a time."""

    def __init__(self, view: View, picture: Picture) -> None:
        self._view = weakref.ref(view)
        self._parts: list[object] = [*picture.servers, *view.endpoints.values(), view.policy, picture]

    @property
    def is_held(self) -> bool:
        """Whether some call still reads it."""
        return self._view() is not None

    def let_go(self) -> None:
        """Free the parts, except for what the view in its place shares."""
        with beside_calls():
            while self._parts:
                self._parts.pop()


@contextlib.contextmanager
def beside_calls() -> Iterator[None]:
    """Work in a thread that lets calls go on soon."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


_decode_blocked = msgspec.json.Decoder(dict[str, tuple[tuple[str, str], ...]]).decode


class Takeover:
    """Follows the views of a control process."""

    def __init__(
        self,
        views: Views,
        live: Live,
        build: Callable[[Picture], View],
        taken: Callable[[Picture], Awaitable[None]],
        problems: tuple[type[Exception], ...],
    ) -> None:
        self._views = views
        self._live = live
        self._build = build
        """Makes a view; runs in a worker thread. Raises one of `problems`."""
        self._taken = taken
        """Awaited on the loop after a view was swapped."""
        self._problems: tuple[type[Exception], ...] = (ValueError, OSError, msgspec.MsgspecError, *problems)
        self._refused = ""
        self._wanted = ""
        """What is current, as far as the last look saw."""
        self._unread = ""
        self._again_at = 0.0
        """When a picture that could not be read is read again, on the loop's clock."""
        self._formers: list[_Former] = []
        self.picture = Picture()

    @property
    def ready(self) -> bool:
        """There is a view, and it is the current one."""
        return bool(self.picture.digest) and self._wanted == self.picture.digest

    async def run(self) -> None:
        """Look again and again. Ends by cancellation."""
        while True:
            try:
                await self.look()
            except (
                Exception
            ):  # a defect may not end the following of views, which is how anything is taken away: it is told, and tried again
                log.exception("looking for a new view broke")
                self._wanted = ""
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take over what is new."""
        try:
            digest = self._wanted = self._views.current()
            due = digest != self._unread or asyncio.get_running_loop().time() >= self._again_at
            if due and digest not in {"", self.picture.digest, self._refused}:
                await self._take(digest)
            if (blocked := self._views.blocked()) is not None:
                self._block(_decode_blocked(blocked))
            await self._let_go()
        except self._problems as problem:
            log.warning("what is served could not be looked up: %s", problem)

    async def _take(self, digest: str) -> None:
        try:
            lines = await asyncio.to_thread(self._views.read, digest)
        except (ValueError, OSError) as problem:
            self._again_at = asyncio.get_running_loop().time() + AGAIN_SECONDS
            if self._unread != digest:
                log.error("the view %s could not be read, so the one before stays until it can: %s", digest, problem)  # noqa: TRY400 - a sentence
            self._unread = digest
            return
        try:
            picture, view = await asyncio.to_thread(self._made, digest, lines)
        except self._problems as problem:
            self._refused = digest
            log.error("the view %s was not taken over, so the one before stays: %s", digest, problem)  # noqa: TRY400 - said in a sentence
            return
        self._formers.append(_Former(self._live.view, self.picture))
        self._live.view = view
        self.picture, self._refused = picture, ""
        await self._taken(picture)

    def _made(self, digest: str, lines: Iterable[bytes]) -> tuple[Picture, View]:
        with beside_calls():
            gc.collect(1)  # what refused calls left behind would be frozen below
            gc.disable()  # a collection would stop calls for as long as it takes to look at every tool
            try:
                picture = read_picture(digest, lines, self.picture)
                return picture, self._build(picture)
            finally:
                gc.freeze()  # nor does a later one look at them: a view has no cycles and goes when nobody reads it
                gc.enable()

    async def _let_go(self) -> None:
        """Free the views that no call reads any more."""
        unread = [former for former in self._formers if not former.is_held]
        for former in unread:
            self._formers.remove(former)
            await asyncio.to_thread(former.let_go)

    def _block(self, blocked: Mapping[str, Any]) -> None:
        for server in self._live.drifted.keys() | blocked.keys():
            self._live.block(server, frozenset(blocked.get(server, ())))
