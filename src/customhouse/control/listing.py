"""The versions of servers that the registry API tells: those of the listed tenants that were served at some time.

Reads of that API take no token, so nothing of another tenant is told. Refreshed when what is served changes, never by a request.
"""

from collections.abc import Collection, Sequence

from customhouse.control.moves import content_of
from customhouse.core.content import ServerContent
from customhouse.core.registrylisting import ListedVersion, listed_version
from customhouse.core.review import Kind
from customhouse.ports.stores import Stores


class Listing:
    """What is told, as of the last refresh."""

    def __init__(self, stores: Stores, public_url: str, tenants: Collection[str]) -> None:
        self._stores = stores
        self._public_url = public_url
        self._tenants = frozenset(tenants)
        self._changed_at: dict[tuple[str, int], float] = {}
        self._read_until = 0
        self._contents: dict[str, ServerContent] = {}
        self.versions: Sequence[ListedVersion] = ()

    def refresh(self) -> None:
        """Read what happened since. Blocks."""
        with self._stores.reading() as books:
            while page := books.history(kind=Kind.SERVER.value, after=self._read_until):
                for event in page:
                    if event.number:
                        self._changed_at[event.name, event.number] = event.at
                self._read_until = page[-1].sequence
            told: list[ListedVersion] = []
            for version in books.versions(Kind.SERVER):
                if version.tenant not in self._tenants or not version.activated_at:
                    continue
                if version.digest not in self._contents and isinstance(content := content_of(books, version), ServerContent):
                    self._contents[version.digest] = content
                changed_at = self._changed_at.get((version.name, version.number), version.activated_at)
                listed = listed_version(version, self._contents[version.digest], self._public_url, changed_at)
                if listed is not None:
                    told.append(listed)
        self.versions = tuple(told)
