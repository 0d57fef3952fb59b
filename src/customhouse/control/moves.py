"""What operators' steps and the clock's have in common: a version moves on in a transaction, and the history says who did it and why."""

from collections.abc import Mapping

import msgspec

from customhouse.core.content import Content, decode_content
from customhouse.core.review import Step, Version, advanced
from customhouse.ports.stores import Books, Event

CLOCK = "customhouse"
"""Who does what the clock does."""


def moved(books: Books, version: Version, step: Step, actor: str, reason: str, now: float, *, until: float = 0.0) -> tuple[Version, Event]:
    """Take a step; `until` is the end of a deprecated version's window, in Unix seconds. Raises `Refused` like `advanced`."""
    after = advanced(version, step, actor, books.reviews([version.digest]), now, reason)
    if step is Step.DEPRECATE:
        after = msgspec.structs.replace(after, until=until)
    books.replace_version(after, version)
    return after, noted(books, after, step.value, actor, reason, now)


def noted(
    books: Books, version: Version, action: str, actor: str, reason: str, now: float, detail: Mapping[str, object] | None = None
) -> Event:
    """Write into the history what was done to a version, with the state that it is in since."""
    return books.note(
        Event(
            at=now,
            actor=actor,
            action=action,
            tenant=version.tenant,
            kind=version.kind.value,
            name=version.name,
            number=version.number,
            digest=version.digest,
            reason=reason,
            detail={"state": version.state.value, **(detail or {})},
        )
    )


def content_of(books: Books, version: Version) -> Content:
    """The content of a version."""
    return decode_content(version.kind, books.contents([version.digest])[version.digest])
