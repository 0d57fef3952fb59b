"""A process that writes transaction after transaction and says of each that it ended, until it is killed."""

import sys
from pathlib import Path

from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.core.review import State
from tests.ports.stores_support import event, review, version

stores = SqliteStores.open(Path(sys.argv[1]))
with stores.reading() as seen:
    number = len(seen.history()) // 2
while True:
    number += 1
    with stores.writing() as books:
        books.note(event("propose"))
        books.add_content(f"sha256:{number}", bytes(100_000))
        books.add_version(version(number=number, digest=f"sha256:{number}"))
        books.replace_version(version(number=number, digest=f"sha256:{number}", state=State.PROPOSED), books.versions(name="notes")[-1])
        books.add_review(review(f"sha256:{number}"))
        books.note(event("accept"))
    print(number, flush=True)
