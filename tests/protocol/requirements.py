"""Every requirement of the protocol: what it says, where it comes from, for which revisions, and what shows it or what it waits for.

The rows stand by subject: the two kinds of client, servers, what crosses eras, and who may do what.
"""

from typing import Final

from tests.protocol.rows_authority import AUTHORITY
from tests.protocol.rows_crossing import CROSSING
from tests.protocol.rows_door import DOOR
from tests.protocol.rows_legacy import LEGACY_FRONT
from tests.protocol.rows_modern import MODERN_FRONT
from tests.protocol.rows_servers import SERVERS

REQUIREMENTS: Final = (*DOOR, *MODERN_FRONT, *LEGACY_FRONT, *SERVERS, *CROSSING, *AUTHORITY)
LAST: Final = 108
"""How many there are: the names are GW-01 to this number."""
