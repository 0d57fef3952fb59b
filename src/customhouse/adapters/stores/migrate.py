"""Bringing the tables of a database to the revision that this code is written for. The only place that knows Alembic.

Scripts are found beside this module, so that an installed package needs no file of settings.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(connection: Connection, also: Sequence[Path] = ()) -> None:
    """Run every revision that is missing, inside of the transaction of the caller. `also` are further folders of revisions."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _plain(str(MIGRATIONS)))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", _plain(os.pathsep.join(map(str, (MIGRATIONS / "revisions", *also)))))
    command.upgrade(config, "head")


def _plain(text: str) -> str:
    """A per cent sign means something to a file of settings."""
    return text.replace("%", "%%")
