"""The bytes of a segment: how a record becomes a line, and how a line is held against what came before it.

A segment is a text file of JSON lines. The first line is its head, every other line is one entry:

    {"ledger":1,"chain":"<hex>","segment":{"first":1,"at":1790000000.0,"previous":"<hex>","open":[...]}}
    {"n":1,"leaf":"<hex>","chain":"<hex>","record":{"format":1,"kind":"start",...}}

    leaf  = SHA-256(0x00 || the exact bytes of the record object)       as in RFC 6962, section 2.1
    chain = SHA-256(0x02 || chain of the line before || leaf)            for an entry
    chain = SHA-256(0x03 || the exact bytes of the segment object)       for a head; it names the chain before it

The leaf hashes are those of a transparency log (C2SP tlog-tiles), so its tree grows out of the same lines; 0x01 stays
free for the nodes of that tree. JSON escapes line feeds, so a line ends where its entry ends, and a line without a
line feed is torn. An entry of such a log has at most 65,535 bytes, hence the bound on a record.
"""

import hashlib
import re
from binascii import hexlify
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from customhouse.core.record import FORMAT, Record

LAYOUT = 1
"""Version of the lines; a reader refuses a head with another one."""
MAX_RECORD_BYTES = 65_535
FRAME_BYTES = 192
"""At most what a line adds to its record: 166 bytes of frame and hashes and a sequence number of up to 20 digits, rounded up."""
MAX_ENTRY_BYTES = MAX_RECORD_BYTES + FRAME_BYTES
MAX_HEAD_BYTES = 64 * 1024 * 1024
GENESIS = bytes(32)
"""The chain before the first segment."""

_RECORD_START = b'{"format":%d,' % FORMAT
_ENTRY = re.compile(rb'\{"n":([1-9][0-9]{0,19}),"leaf":"([0-9a-f]{64})","chain":"([0-9a-f]{64})","record":(\{"format":[0-9]+,.*\})\}\n')
_HEAD = re.compile(rb'\{"ledger":([0-9]{1,9}),"chain":"([0-9a-f]{64})","segment":(\{.*\})\}\n')


class Broken(Exception):
    """A line is not what this ledger writes at this place; the message is one sentence."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment says about itself."""

    first: int
    """Sequence number of its first entry."""
    at: float
    """Unix seconds when the segment was begun."""
    previous: str
    """Chain of the last line of the segment before, hexadecimal; zeros for the first segment."""
    open: tuple[Record, ...] = ()
    """Intents that had no closing record when the segment was begun, with long strings shortened."""


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a chain has got to: the last sequence number and the chain hash of the last line."""

    sequence: int
    chain: bytes


BEGINNING = Tip(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line taken apart, not yet held against anything."""

    sequence: int
    leaf: str
    chain: str
    body: bytes
    """The record object, byte for byte."""


def record_body(record: Record) -> bytes:
    """The bytes that are hashed and written: the record with its format in front. Raises UnicodeEncodeError on a lone surrogate."""
    return _RECORD_START + msgspec.json.encode(record)[1:]


def read_record(body: bytes) -> Record:
    """The record of an entry. Raises `Broken` for a format this reader does not know."""
    if not body.startswith(_RECORD_START):
        raise Broken(f"the record is not of format {FORMAT}")
    try:
        return msgspec.json.decode(body, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Broken(f"the record cannot be read: {fault}") from fault


def entry_lines(tip: Tip, bodies: Iterable[bytes]) -> tuple[bytes, Tip]:
    """The lines of records that follow the tip, and the tip after them."""
    sequence, chain = tip.sequence, tip.chain
    lines = []
    for body in bodies:
        sequence += 1
        leaf = leaf_hash(body)
        chain = chain_hash(chain, leaf)
        lines.append(b'{"n":%d,"leaf":"%b","chain":"%b","record":%b}\n' % (sequence, hexlify(leaf), hexlify(chain), body))
    return b"".join(lines), Tip(sequence, chain)


def head_line(head: Head) -> tuple[bytes, Tip]:
    """The first line of a segment, and the tip after it."""
    body = msgspec.json.encode(head)
    chain = head_hash(body)
    return b'{"ledger":%d,"chain":"%b","segment":%b}\n' % (LAYOUT, hexlify(chain), body), Tip(head.first - 1, chain)


def read_head(line: bytes) -> tuple[Head, Tip]:
    """The head in a line and the tip after it; its own hash is checked, its link to the segment before is not."""
    match = _HEAD.fullmatch(line)
    if match is None:
        raise Broken("the first line is not the head of a segment")
    layout, chain, body = match.groups()
    if int(layout) != LAYOUT:
        raise Broken(f"the segment has layout {int(layout)}; this version reads layout {LAYOUT}")
    tip_chain = head_hash(body)
    if chain.decode() != tip_chain.hex():
        raise Broken("the head does not have the hash it names")
    try:
        head = msgspec.json.decode(body, type=Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Broken(f"the head cannot be read: {fault}") from fault
    return head, Tip(head.first - 1, tip_chain)


def read_entry(line: bytes) -> Entry:
    """The parts of a line."""
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise Broken("the line is not an entry")
    sequence, leaf, chain, body = match.groups()
    return Entry(int(sequence), leaf.decode(), chain.decode(), body)


def follow(tip: Tip, entry: Entry) -> Tip:
    """The tip after an entry that follows the given one; raises `Broken` where it does not."""
    if entry.sequence != tip.sequence + 1:
        raise Broken(f"entry {entry.sequence} stands where entry {tip.sequence + 1} belongs")
    leaf = leaf_hash(entry.body)
    if entry.leaf != leaf.hex():
        raise Broken(f"the record of entry {entry.sequence} does not have the hash it names")
    chain = chain_hash(tip.chain, leaf)
    if entry.chain != chain.hex():
        raise Broken(f"entry {entry.sequence} does not continue the chain before it")
    return Tip(entry.sequence, chain)


def leaf_hash(body: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + body).digest()


def chain_hash(before: bytes, leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x02" + before + leaf).digest()


def head_hash(body: bytes) -> bytes:
    return hashlib.sha256(b"\x03" + body).digest()
