"""Addresses in texts: which hosts a reader may be sent to, and what is made of the others.

Threat class T13, T14: an image is fetched by whoever shows it, so its address carries data out without a click (query, path or host name);
a link does it with one. An address that nobody should follow is *defanged*, as incident reports do it: `https://a.example/x` becomes
`hxxps://a[.]example/x`, an image is replaced by a note. `javascript:` and `vbscript:` anywhere, and `data:` where it can hold a page, are
defanged always: no tool needs a reader to run them.

Hosts are compared as a browser would read them: without user information and port, lower case, backslashes as slashes. An address whose
host cannot be told is foreign.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from customhouse.core.scanning import Signs

_LETTER_REFERENCE = r"#(?:0*(?:9|1[03]|58|6[5-9]|[7-9][0-9]|1[0-2][0-9])|[xX]0*(?:9|[aAdD]|3[aA]|[4-7][0-9a-fA-F]))|colon;|Tab;|NewLine;"
ACTIVE_SIGNS: Final = (
    r"[iI](?:\\[tnr])?[pP](?:\\[tnr])?[tT](?:\\[tnr]| )?:",
    r"[tT][aA]:(?:\\[tnr]| )?(?i:text|application|image\\?/svg)",
    f"&(?:{_LETTER_REFERENCE})",
)
ADDRESS_SIGNS: Final = ("(?i:(?:http|ftp|ws)s?:)", r"[/\\]{2,16}[0-9A-Za-z]", r"\]:")
IMAGE_SIGNS: Final = (
    r"!\[",
    r"(?i:<\s?(?:img|image|picture|source|track|video|audio|iframe|frame|object|embed|link|input|svg|use|feimage|base|script|body|table|t[dhr]))",
    r"\]:",
    r"(?i:url\()",
)

_ACTIVE = re.compile(
    r"(?P<scheme>(?<![A-Za-z0-9_])(?:j[\t\n\r]?a[\t\n\r]?v[\t\n\r]?a[\t\n\r]?s[\t\n\r]?c[\t\n\r]?r[\t\n\r]?i[\t\n\r]?p[\t\n\r]?t|vbscript|"
    r"data(?=:\s?(?:text/(?:html|xml|javascript)|application/(?:xhtml|xml|javascript|ecmascript)|image/svg))))\s?:(?=\s{0,8}\S)",
    re.IGNORECASE,
)
_DISGUISED_SCHEME = re.compile(
    r"(?P<before>(?:\]\(\s{0,8}<?|\b(?:href|src|action|formaction|data)\s{0,8}=\s{0,8}[\"']?\s{0,8})[^\s\"'<>)/?&]{0,40})"
    rf"&(?={_LETTER_REFERENCE})",
    re.IGNORECASE,
)
"""A character reference in the scheme of a target: readers of Markdown and HTML decode it."""
_WITH_SCHEME = r"(?P<scheme>(?<![A-Za-z0-9+.-])(?:http|ftp|ws)s?):[/\\]{0,8}+"
_AUTHORITY = r"(?P<authority>[^\s/\\?#\"<>]{1,512}+)"
_ADDRESS = re.compile(rf"(?:{_WITH_SCHEME}|(?<![A-Za-z0-9.:\]/\\])[/\\]{{2,}}+(?=[A-Za-z0-9-]{{1,63}}\.)){_AUTHORITY}", re.IGNORECASE)
"""In any text; one that begins with its slashes counts only as a target, see `_is_target`."""
_FETCHED_ADDRESS = re.compile(rf"(?:{_WITH_SCHEME}|(?<![A-Za-z0-9.:\]/\\])[/\\]{{2,}}+){_AUTHORITY}", re.IGNORECASE)
"""In markup and references: two slashes begin an address wherever no path and no other scheme goes before them, and its host may be written
in any way (WHATWG URL, special authority slashes state: more slashes change nothing)."""
_BRACKET = re.compile(r"\\.|[\[\]]", re.DOTALL)
_TARGET = re.compile(r"\(\s*+<?(?P<target>[^\s)>]{0,8192}+)[^)\n]{0,1024}+\)?")
_REFERENCE = re.compile(r"(?m)(?P<label>^(?:[ \t>*+-]|[0-9]{1,9}[.)])*+\[(?:[^\]\[\\]|\\.){1,999}+\]:\s*+<?)(?P<target>[^\s>]{1,8192}+)")
"""Of Markdown, in quotes and lists as well (CommonMark 4.7)."""
_FETCHING_TAG = re.compile(
    r"<\s?(?:img|image|picture|source|track|video|audio|iframe|frame|object|embed|link|input|svg|use|feimage|base|script|body|table|t[dhr])\b(?:=\s*+(?:\"[^\"]*+\"|'[^']*+')|[^<>])*+>?",
    re.IGNORECASE,
)
_STYLE_ADDRESS = re.compile(r"url\(\s*+[\"']?\s*+[^)\"'\s]{1,8192}+", re.IGNORECASE)
_DISGUISED = re.compile(r"&(?:#|colon;|sol;|bsol;|period;|tab;|newline;|commat;|lowbar;|hyphen;|dash;)", re.IGNORECASE)
"""Character references that a browser or a reader of Markdown turns into parts of an address."""


class Hosts:
    """Hosts that may be named: `docs.example.org`, or `*.example.org` for whatever is below it."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._exact = frozenset(host.lower() for host in allowed if not host.startswith("*."))
        self._below = tuple(host[1:].lower() for host in allowed if host.startswith("*."))

    def allow(self, host: str) -> bool:
        """Whether the host is listed, or is below one that is listed with `*.`."""
        return host in self._exact or host.endswith(self._below)


def host_of(authority: str) -> str:
    """The host of an authority with whatever punctuation stands behind it, lower case; empty if it cannot be told."""
    host = authority.rpartition("@")[2].lower().rstrip(".,;:!')]}`*_|")
    name, _, port = host.partition(":")
    return name.rstrip(".") if _HOST.fullmatch(name) and (port.isdigit() or not port) else ""


_HOST = re.compile(r"[a-z0-9._-]+")


class Addresses:
    """Defangs the addresses of a text; None for a list means that hosts of that kind are not looked at."""

    def __init__(self, links: Collection[str] | None, images: Collection[str] | None) -> None:
        self._links = None if links is None else Hosts(links)
        self._images = None if images is None else Hosts(images)
        self.signs: tuple[str, ...] = ACTIVE_SIGNS
        """What has to be in undecoded JSON before anything can change."""
        if links is not None:
            self.signs += ADDRESS_SIGNS
        if images is not None:
            self.signs += IMAGE_SIGNS
        self._active = Signs(ACTIVE_SIGNS)

    def defanged(self, text: str, found: dict[str, int]) -> str:
        """The text with the addresses of hosts that are not listed made harmless; `found` counts them."""
        if self._images is not None:
            text = self._without_images(text, self._images, found)
        if self._links is not None:
            text = _defanged(_references(text, self._links, "link", found), self._links, "link", found)
        if self._active.found(text):
            text = _ACTIVE.sub(lambda match: _inert(match, found), text)
            text = _DISGUISED_SCHEME.sub(lambda match: _counted(found, "active-link", f"{match['before']}[&]"), text)
        return text

    def _without_images(self, text: str, hosts: Hosts, found: dict[str, int]) -> str:
        def judged(match: re.Match[str]) -> str:
            foreign = _foreign(match[0], hosts)
            return match[0] if foreign is None else _counted(found, "image", _note(foreign))

        text = "".join(_markdown_parts(text, hosts, found))
        text = _FETCHING_TAG.sub(judged, text)
        text = _STYLE_ADDRESS.sub(judged, text)
        return _references(text, hosts, "image", found)


def _references(text: str, hosts: Hosts, kind: str, found: dict[str, int]) -> str:
    """The text with the targets of references judged, which an image or a link may name from anywhere."""

    def judged(match: re.Match[str]) -> str:
        if kind == "image" and _DISGUISED.search(match["target"]):
            return match["label"] + _counted(found, kind, "unknown-host")
        return match["label"] + _defanged(match["target"], hosts, kind, found, _FETCHED_ADDRESS)

    return _REFERENCE.sub(judged, text)


def _markdown_parts(text: str, hosts: Hosts, found: dict[str, int]) -> Iterator[str]:
    """The text in parts, images of foreign hosts replaced: brackets in the description nest (CommonMark 6.4, Images)."""
    opened: list[int] = []
    foreign: dict[int, tuple[int, str]] = {}
    at = 0
    while bracket := _BRACKET.search(text, at):
        at = bracket.end()
        if bracket[0] == "[":
            opened.append(bracket.start())
        elif bracket[0] == "]" and opened:
            start = opened.pop() - 1
            if start >= 0 and text[start] == "!" and (target := _TARGET.match(text, at)):
                at = target.end()  # so that no character is looked at for two images
                host = _foreign(f"({target['target']}", hosts)
                if host is not None:
                    foreign[start] = (at, host)
    at = 0
    for start, (end, host) in sorted(foreign.items()):
        if start >= at:
            yield text[at:start]
            yield _counted(found, "image", _note(host))
            at = end
    yield text[at:]


def _note(host: str) -> str:
    return f"[image removed: {host or 'unknown host'}]"


def _foreign(markup: str, hosts: Hosts) -> str | None:
    """The first host in a piece of markup that is not listed, defanged; empty for one that cannot be told, None if there is none."""
    if _DISGUISED.search(markup):
        return ""
    markup = re.sub("[\t\n\r]", "", markup)  # as a browser reads an address (WHATWG URL, basic URL parser)
    for match in _FETCHED_ADDRESS.finditer(markup):
        host = _host_at(match)
        if not hosts.allow(host):
            return host.replace(".", "[.]")
    return None


def _host_at(match: re.Match[str]) -> str:
    """Behind a backslash the name may go on, as Markdown reads it, or end, as a browser does."""
    return "" if match.string[match.end() : match.end() + 1] == "\\" else host_of(match["authority"])


def _defanged(text: str, hosts: Hosts, kind: str, found: dict[str, int], address: re.Pattern[str] = _ADDRESS) -> str:
    def judged(match: re.Match[str]) -> str:
        authority = match["authority"]
        if address is _ADDRESS and not match["scheme"] and not _is_target(match):
            return match[0]
        if not any(char.isalnum() for char in authority) or hosts.allow(_host_at(match)):
            return match[0]
        scheme = match["scheme"] or "https"
        shown = re.sub("(?i)^http", "hxxp", scheme) if scheme.lower().startswith("http") else f"{scheme}[:]"
        return _counted(found, kind, f"{shown}{'' if shown.endswith(']') else ':'}//{authority.replace('.', '[.]')}")

    return address.sub(judged, text)


def _is_target(match: re.Match[str]) -> bool:
    """Whether it stands behind a quote, a bracket or an equals sign, white space aside."""
    return match.string[max(0, match.start() - 64) : match.start()].rstrip()[-1:] in tuple("\"'(=<")


def _inert(match: re.Match[str], found: dict[str, int]) -> str:
    """In prose a space follows the colon."""
    if match.string[match.end()].isspace() and not _is_target(match):
        return match[0]
    return _counted(found, "active-link", re.sub(r"\s", "", match["scheme"]) + "[:]")


def _counted(found: dict[str, int], kind: str, replacement: str) -> str:
    found[kind] = found.get(kind, 0) + 1
    return replacement
