"""Verdicts in the books: what this release's rules say of a content is as fixed as the content, so it is kept beside it as one more."""

from collections.abc import Iterable, Mapping

import msgspec

from customhouse.core.content import Content, ServerContent, decode_content
from customhouse.core.review import Kind
from customhouse.core.verdict import RULES, Verdict, judged
from customhouse.ports.stores import Books


def judged_as_kept(kind: Kind, written: bytes) -> Verdict | None:
    """The verdict on a content as it is written down, where the entries of a pin have their order; None for what is no server."""
    content = decode_content(kind, written)
    return judged(content) if isinstance(content, ServerContent) else None


def keep_verdicts(books: Books, verdicts: Mapping[str, Verdict]) -> None:
    """Keep verdicts by the digest of what they are about."""
    for digest, verdict in verdicts.items():
        books.add_content(_key(digest), msgspec.json.encode(verdict))


def kept_verdicts(books: Books, digests: Iterable[str]) -> dict[str, Verdict]:
    """The verdicts of this release's rules that are kept on these contents."""
    keys = {_key(digest): digest for digest in digests}
    return {keys[key]: _decode(written) for key, written in books.contents(keys).items()}


def verdicts_on(books: Books, contents: Mapping[str, Content], before: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """The verdicts on the servers among these contents, by digest: those known before, those kept, and for what another release proposed
    new ones."""
    servers = {digest: content for digest, content in contents.items() if isinstance(content, ServerContent)}
    known = {digest: verdict for digest, verdict in before.items() if digest in servers}
    known |= kept_verdicts(books, servers.keys() - known.keys())
    return known | {digest: judged(servers[digest]) for digest in servers.keys() - known.keys()}


def _key(digest: str) -> str:
    return f"verdict {RULES} {digest}"


_decode = msgspec.json.Decoder(Verdict).decode
