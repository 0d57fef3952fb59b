"""A record that fits: at most 65,535 bytes, whatever a caller or a server put into its strings.

A long string keeps its beginning and says how much is missing. Equal strings are shortened alike, so an intent and its
closing record still join.
"""

import msgspec

from customhouse.adapters.ledgers.frames import MAX_RECORD_BYTES, record_body
from customhouse.core.record import Record

_STRING_LIMITS = (8192, 2048, 512, 128)
"""Tried from the longest, in characters. A character takes at most 6 bytes in JSON, so 128 always fits: 27 strings and 32 reasons."""
_MAX_REASONS = 32


def fitting_body(record: Record) -> bytes:
    """The bytes of the record, of the fitted one where it is too long or holds what UTF-8 cannot say."""
    try:
        body = record_body(record)
    except UnicodeEncodeError:
        return record_body(fit(record))
    return body if len(body) <= MAX_RECORD_BYTES else record_body(fit(record))


def fit(record: Record) -> Record:
    """The record itself if it fits, else one with its longest strings shortened as little as one of the limits allows."""
    whole = _spelled(record)
    if len(record_body(whole)) <= MAX_RECORD_BYTES:
        return whole
    shortened = (shorten(whole, limit) for limit in _STRING_LIMITS)
    return next(candidate for candidate in shortened if len(record_body(candidate)) <= MAX_RECORD_BYTES)


def shorten(record: Record, limit: int) -> Record:
    """The record with no string longer than `limit` characters, the marker included, no more than 32 reasons, and no groups: a shortened
    name could be that of another one."""
    texts = {name: _shortened(text, limit) for name, text in _texts(record).items() if len(text) > limit}
    left_out = record.groups_left_out + len(record.groups)
    reasons = _shortened_reasons(record.reasons, limit)
    return msgspec.structs.replace(record, **texts, reasons=reasons, groups=(), groups_left_out=left_out)


def _shortened_reasons(reasons: tuple[str, ...], limit: int) -> tuple[str, ...]:
    kept = tuple(_shortened(reason, limit) for reason in reasons[:_MAX_REASONS])
    missing = len(reasons) - len(kept)
    return (*kept[:-1], f"…[+{missing + 1} reasons]") if missing else kept


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    room = limit - len(f"…[+{len(text)}]")
    return f"{text[:room]}…[+{len(text) - room}]"


def _spelled(record: Record) -> Record:
    """Lone surrogates, which UTF-8 cannot say, become question marks."""
    texts = {name: _utf8(text) for name, text in _texts(record).items() if _utf8(text) != text}
    reasons, groups = tuple(map(_utf8, record.reasons)), tuple(map(_utf8, record.groups))
    same = not texts and (reasons, groups) == (record.reasons, record.groups)
    return record if same else msgspec.structs.replace(record, **texts, reasons=reasons, groups=groups)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _texts(record: Record) -> dict[str, str]:
    return {name: value for name, value in msgspec.structs.asdict(record).items() if isinstance(value, str)}
