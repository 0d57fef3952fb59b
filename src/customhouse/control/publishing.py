"""From what operators activated to what gateways serve: one picture, built and checked here, handed over whole.

A picture that does not build is not published: what was served stays, and it is said why. The check is the one that gateways make.
"""

import logging
import threading
from collections.abc import Callable, Mapping

import msgspec

from customhouse.control.register import Register, Served
from customhouse.control.verdicts import keep_verdicts, kept_verdicts
from customhouse.core.picture import Picture, lines_of, picture_of
from customhouse.core.verdict import RULES, Verdict
from customhouse.ports.hosts import Views
from customhouse.ports.stores import Event, Stores
from customhouse.ports.traffic import Clock

log = logging.getLogger(__name__)

Check = Callable[[Picture], object]
"""Builds a view as a gateway does, and raises one of the known problems where that fails."""


def unfit(served: Served, verdicts: Mapping[str, Verdict], check: Check, problems: tuple[type[Exception], ...]) -> list[str]:
    """What is wrong with what would be served, a sentence each."""
    try:
        check(picture_of((pair for versions in served.values() for pair in versions), verdicts))
    except problems as problem:
        return [line for line in str(problem).splitlines() if line.strip()]
    return []


class Publishing:
    """Publishes; calls block, and one at a time."""

    def __init__(self, register: Register, stores: Stores, views: Views, clock: Clock) -> None:
        self._register = register
        self._stores = stores
        self._views = views
        self._clock = clock
        self._lock = threading.Lock()
        self.problem = ""
        """Why the newest picture was not published; empty where it was."""

    def publish(self, check: Check, problems: tuple[type[Exception], ...]) -> Served:
        """Publish what is served now, unless it is published already. Returns it."""
        with self._lock:
            served = self._register.served()
            verdicts = self._register.verdicts
            if findings := unfit(served, verdicts, check, problems):
                self.problem = " ".join(findings)
                log.error("what is served was not published, so what was published stays: %s", self.problem)
                return served
            versions = [version for pairs in served.values() for version, _ in pairs]
            with self._stores.reading() as books:
                contents = books.contents({version.digest for version in versions})
                unkept = verdicts.keys() - kept_verdicts(books, verdicts).keys()
            if unkept:  # another release proposed them
                with self._stores.writing() as books:
                    keep_verdicts(books, {digest: verdicts[digest] for digest in unkept})
            before = self._views.current()
            lines = lines_of(((version, contents[version.digest]) for version in versions), verdicts, RULES)
            digest = self._views.publish(lines)
            self.problem = ""
            if digest != before:
                self._note(digest, len(versions))
            return served

    def _note(self, digest: str, count: int) -> None:
        with self._stores.writing() as books:
            books.note(Event(at=self._clock.now(), actor="customhouse", action="publish", digest=digest, detail={"versions": count}))


PROBLEMS: tuple[type[Exception], ...] = (ValueError, msgspec.MsgspecError)
"""What a check raises beside the policy's own findings."""
