"""What a difference between two definitions means for those who call and those who answer, in sentences: one row per place.

Values that a sentence repeats come from the definition or are names of tools, cut and made printable; a reference to a secret is no secret.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from customhouse.core.pointer import shown_key


@dataclass(frozen=True, slots=True)
class Tools:
    """Classes and pinned tools on both sides. A tool can be called if it has both."""

    classes_before: Mapping[str, str]
    classes_after: Mapping[str, str]
    pinned_before: frozenset[str]
    pinned_after: frozenset[str]

    def was_callable(self, name: str) -> bool:
        """Whether the tool could be called."""
        return name in self.pinned_before and name in self.classes_before

    def is_callable(self, name: str) -> bool:
        """Whether the tool will be callable."""
        return name in self.pinned_after and name in self.classes_after

    def pinned(self, kind: str, name: str, grade: str, *, is_new: bool, is_gone: bool) -> str:
        """What happens to an entry of the pin."""
        subject = f"{kind} `{shown_key(name)}`"
        if kind == "tool" and is_new and self.is_callable(name) and name in self.classes_before:
            return f"{subject} enters the pin and becomes callable ({self.classes_after[name]})."
        if kind == "tool" and is_new and name not in self.classes_after:
            return f"{subject} enters the pin without a class, so nobody can see or call it."
        if kind == "tool" and is_gone and self.was_callable(name):
            return f"{subject} leaves the pin and is no longer callable."
        if is_new or is_gone:
            return f"{subject} {'enters' if is_new else 'leaves'} the pin."
        return f"{subject} of the pin: {grade}."


def sentence_of(pointer: str, before: Any, after: Any, tools: Tools) -> str:
    """What a difference at a place of a definition means; empty where the new value says it all."""
    for pattern, words in _PLACES:
        if place := pattern.fullmatch(pointer):
            name = place[1] if pattern.groups else ""
            return words(name.replace("~1", "/").replace("~0", "~"), before, after, tools)
    return ""


def _class(name: str, before: Any, after: Any, tools: Tools) -> str:
    subject = f"tool `{shown_key(name)}`"
    if isinstance(before, str) and isinstance(after, str):
        return f"Class of {subject}: {before} -> {after}."
    if isinstance(after, str):
        if tools.is_callable(name):
            return f"{subject} becomes callable ({after})."
        return f"{subject} gets the class {after}, but is not in the pin, so it cannot be called."
    return f"{subject} loses its class{' and is no longer callable' if tools.was_callable(name) else ''}."


def _scopes(tool: str, _: Any, after: Any, __: Tools) -> str:
    needed = " ".join(map(str, after)) if isinstance(after, list | tuple) else "no"
    return f"tool `{shown_key(tool)}` needs {needed} scopes of a token."


def _credential(_: str, before: Any, after: Any, __: Tools) -> str:
    if not isinstance(after, str):
        return "The credential goes: the server is called without one."
    return f"The credential reference changes: {before} -> {after}." if isinstance(before, str) else f"A credential is sent: {after}."


def _secret(name: str, before: Any, after: Any, _: Tools) -> str:
    verb = "changes" if isinstance(before, str) and isinstance(after, str) else "is added" if isinstance(after, str) else "goes"
    return f"The credential reference of the variable `{shown_key(name)}` {verb}."


def _only_when_changed(sentence: str) -> "Words":
    """A sentence for what was there before and is another now."""
    return lambda _, before, after, __: sentence if isinstance(before, str | list | tuple) and isinstance(after, str | list | tuple) else ""


def _always(sentence: str) -> "Words":
    return lambda _, __, ___, ____: sentence


Words = Callable[[str, Any, Any, Tools], str]

_PLACES: Final[tuple[tuple[re.Pattern[str], Words], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"/definition/tools/([^/]*)/class", _class),
        (r"/definition/tools/([^/]*)/scopes", _scopes),
        (r"/definition/credential(?:/bearer)?", _credential),
        (r"/definition/stdio/secrets/([^/]*)", _secret),
        (r"/definition/url", _only_when_changed("Calls go to another address.")),
        (r"/definition/tenant", _only_when_changed("The server belongs to another tenant: its callers lose it, others may be granted it.")),
        (r"/definition/owner", _only_when_changed("Another team answers for the server.")),
        (r"/definition/networks", _always("The private networks that the server may lie in change.")),
        (r"/definition/stdio/argv", _only_when_changed("Another command is started.")),
        (r"/definition/stdio/package/digest", _only_when_changed("Another installed tree is started.")),
        (r"/definition/stdio/writable_paths", _always("What the server may write to outside of its tree changes.")),
        (r"/definition/stateless", _always("Whether callers share one session at the server changes.")),
    )
)
