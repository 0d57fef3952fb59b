"""Whether a text looks like it holds a secret: for what must not be copied, so a doubt is a yes.

Sources: the published prefixes of tokens (GitHub, GitLab, Slack, AWS, Google, Stripe, npm, PyPI, Hugging Face and others), RFC 7519 (a
JWT begins with `eyJ`), RFC 3986 section 3.2.1 (user information in a URL), RFC 9562 (UUID, which many services use as a capability).
"""

import re

_PREFIXES = (
    *("sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "xox", "xapp-", "AKIA", "ASIA"),
    *("AIza", "ya29.", "eyJ", "npm_", "pypi-", "hf_", "SG.", "dop_v1_", "shpat_", "lin_api_", "ntn_", "secret_", "figd_", "dapi", "pat-"),
)
_PREFIXED = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, _PREFIXES))})[A-Za-z0-9_.-]{{8,}}")
_SHAPES = (
    _PREFIXED,
    re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE),
    re.compile(r"(?=[A-Za-z0-9+=]*[A-Za-z])(?=[A-Za-z0-9+=]*[0-9])[A-Za-z0-9+=]{20,}"),
    re.compile(r"(?=[A-Za-z0-9_-]*[a-z])(?=[A-Za-z0-9_-]*[A-Z])(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{24,}"),
    re.compile(r"-----BEGIN"),
    re.compile(r"\b(?:bearer|basic|token)\s+\S", re.IGNORECASE),
    re.compile(r"://[^/?#\s@]+@"),
)
_NAME = re.compile(r"token|secret|passw|passphrase|pwd|key|auth|sig|credential|session|jwt|cookie", re.IGNORECASE)
_ASSIGNED = re.compile(r"[-/]{0,2}(?P<name>[A-Za-z][A-Za-z0-9_.-]*)\s*[=:]\s*(?P<value>\S.*)", re.DOTALL)
_PARAMETER = re.compile(r"[?&;](?P<name>[^=&;#]+)=[^&;#]")


def is_likely_secret(text: str) -> bool:
    """Whether a secret may stand in the text: by its shape, or since it is given to a name that sounds like one."""
    if any(shape.search(text) for shape in _SHAPES):
        return True
    assigned = _ASSIGNED.fullmatch(text)
    if assigned is not None and not assigned["value"].startswith("//") and names_secret(assigned["name"]):
        return True
    return any(names_secret(parameter["name"]) for parameter in _PARAMETER.finditer(text))


def names_secret(name: str) -> bool:
    """Whether what has this name is likely a secret."""
    return _NAME.search(name) is not None
