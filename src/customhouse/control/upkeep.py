"""What the clock does to what is served: it ends windows, gives notice, and suspends what is overdue or owned by nobody."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from customhouse.control.moves import CLOCK, content_of, moved, noted
from customhouse.core.content import ServerContent
from customhouse.core.instants import end_of_day
from customhouse.core.review import SERVED, Kind, State, Step, Version, standing
from customhouse.ports.stores import Books, Event, Stores
from customhouse.ports.traffic import Clock


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the clock wants to know of a server."""

    owner: str = ""
    review_by: str = ""
    credential_until: str = ""


class Upkeep:
    """Looks from time to time at what is due. Calls block; they belong in a worker thread."""

    def __init__(self, stores: Stores, clock: Clock, notice_seconds: float, teams: frozenset[str], tell: Callable[[], None]) -> None:
        self._stores = stores
        self._clock = clock
        self._notice_seconds = notice_seconds
        """How long before a suspension it is announced."""
        self._teams = teams
        """Who may own a server; empty: nobody is asked."""
        self._tell = tell
        """Says that what is served changed."""
        self._known: dict[str, _Facts] = {}

    def tick(self) -> list[Event]:
        """Retire what was deprecated until now; announce what is about to be suspended, and suspend what is overdue or owned by nobody.

        Only servers are suspended: without its policies a deployment would not be safer.
        """
        done: list[Event] = []
        with self._stores.writing() as books:
            now = self._clock.now()
            for version in books.versions(states=SERVED):
                if version.state is State.DEPRECATED and version.until and version.until <= now:
                    done.append(moved(books, version, Step.RETIRE, CLOCK, "Its window is over.", now)[1])
                    continue
                for cause, due in self._due(books, version, now):
                    if due <= now and version.kind is Kind.SERVER:
                        done.append(moved(books, version, Step.SUSPEND, CLOCK, cause, now)[1])
                        break
                    done += self._announced(books, version, cause, due, now)
                # A credential that ends is announced and nothing more: the server itself will say so.
                if last_day := self._facts(books, version).credential_until:
                    done += self._announced(books, version, "Its credential expires.", end_of_day(last_day), now)
        if any(event.action != "notice" for event in done):
            self._tell()
        return done

    def _due(self, books: Books, version: Version, now: float) -> Iterable[tuple[str, float]]:
        """Why a served version will be suspended, and when."""
        stands = standing(version, books.reviews([version.digest]), now)
        yield "Its reviews expired.", stands.holds_until if stands.suffices else now
        if version.kind is not Kind.SERVER:
            return
        facts = self._facts(books, version)
        if facts.review_by:
            yield "Its owner did not look at it by the day of review.", end_of_day(facts.review_by)
        if self._teams and facts.owner not in self._teams:
            mark = f"orphaned/{version.kind.value}/{version.name}/{version.number}"
            since = float(books.mark(mark) or now)
            books.put_mark(mark, str(since).encode())
            yield f"Its owner {facts.owner} is no team any more.", since + self._notice_seconds

    def _facts(self, books: Books, version: Version) -> _Facts:
        """What the clock looks at, read once for each content: it never changes."""
        if version.digest not in self._known:
            content = content_of(books, version)
            facts = _Facts()
            if isinstance(content, ServerContent):
                definition, credential = content.definition, content.definition.credential
                facts = _Facts(definition.owner, definition.review_by, "" if credential is None else credential.expires_on)
            self._known[version.digest] = facts
        return self._known[version.digest]

    def _announced(self, books: Books, version: Version, cause: str, due: float, now: float) -> list[Event]:
        """The notice of what is due soon, once for each cause and date."""
        key = f"notice/{version.kind.value}/{version.name}/{version.number}/{cause}"
        if due - now > self._notice_seconds or books.mark(key) == str(due).encode():
            return []
        books.put_mark(key, str(due).encode())
        return [noted(books, version, "notice", CLOCK, cause, now, {"due": due})]
