"""The rules that every deployment carries, whatever its own policies say.

Cedar denies what no rule permits, so nothing is granted here: these rules only forbid, and a forbid beats every permit
(Cedar, Authorization: "forbid" overrides "permit"). Reads and writes are granted by the deployment's own rules, and a
permit that does not name its classes or its tools does not load (`policyrules.py`).
"""

from typing import Final

BASE_FILE: Final = "customhouse:base.cedar"
"""The name that findings and explanations give this text; no file of a deployment has a colon-separated name like it."""

RESERVED_PREFIX: Final = "base."
"""Ids of shipped rules begin like this, and ids of a deployment's rules never do."""

GRANT_PREFIX: Final = "grant:"
"""Ids of the rules that grants become begin like this, and ids of written rules never do."""

BASE_POLICY: Final = """\
// A caller reaches nothing outside the caller's own tenant, whatever anybody grants.
@id("base.tenancy")
forbid (principal, action, resource)
unless { principal.tenant == resource.tenant };

// Absence is never privilege: a caller is a person, a workload, or both.
@id("base.somebody")
forbid (principal, action, resource)
unless { principal has person || principal has workload };
"""
