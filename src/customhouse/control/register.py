"""What operators do to governed things: propose, review, activate, suspend, retire, roll back.

Each step is one transaction: the version moves on, and the history says who did it and why, or neither happens. The rules are in
`core.review` and `core.operators`; here is what they are asked about.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from customhouse.control.moves import CLOCK, content_of, moved, noted
from customhouse.control.verdicts import judged_as_kept, keep_verdicts, verdicts_on
from customhouse.core.content import (
    Content,
    PolicyContent,
    ServerContent,
    decode_content,
    read_content,
    reviewers_needed,
    stated,
    unanswered,
)
from customhouse.core.identity import Caller
from customhouse.core.instants import day_of
from customhouse.core.manifest import canonical_bytes
from customhouse.core.naming import GRANTS_NAME, POLICY_NAME, SERVER_NAME
from customhouse.core.operators import EVERYWHERE, Action, Assignment, Role, check_action, named, roles_of
from customhouse.core.policyrules import read_rules
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import (
    SERVED,
    Kind,
    Review,
    Standing,
    State,
    Step,
    Version,
    advanced,
    content_digest,
    standing,
)
from customhouse.core.verdict import Verdict
from customhouse.core.windows import unlike
from customhouse.ports.stores import Books, Event, Stores
from customhouse.ports.traffic import Clock

OPEN: Final = frozenset({State.DRAFT, State.PROPOSED, State.REVIEWED})
"""What is not served yet and may be."""

NAMES: Final[Mapping[Kind, re.Pattern[str]]] = {
    Kind.SERVER: SERVER_NAME,
    Kind.PORTAL: SERVER_NAME,
    Kind.GRANT: GRANTS_NAME,
    Kind.POLICY: POLICY_NAME,
}

_ACTIONS: Final[Mapping[Step, Action]] = {
    Step.PROPOSE: Action.PROPOSE,
    Step.ACCEPT: Action.REVIEW,
    Step.REJECT: Action.REVIEW,
    Step.WITHDRAW: Action.WITHDRAW,
    Step.ACTIVATE: Action.ACTIVATE,
    Step.DEPRECATE: Action.DEPRECATE,
    Step.SUSPEND: Action.SUSPEND,
    Step.RETIRE: Action.RETIRE,
}

_TAKING_AWAY: Final = frozenset({Step.DEPRECATE, Step.SUSPEND, Step.RETIRE})
"""What ends the serving of a version, at once or with its window."""

Served = Mapping[tuple[Kind, str], Sequence[tuple[Version, Content]]]
"""What is served, by kind and name: the active version first, then deprecated ones, the newest first. A server that is served no more
stands here with the version that was served last, as quarantined or retired: rules may name it, and nothing of it is offered."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A version with what its reviews amount to."""

    version: Version
    standing: Standing
    content: Content | None = None


class Register:
    """The steps, each of which asks whether this operator may take it. Calls block; they belong in a worker thread."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        assignments: Sequence[Assignment],
        review_valid_seconds: float,
        check: Callable[[Kind, str, Content], Sequence[str]],
        fits: Callable[[Served], Sequence[str]],
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._assignments = tuple(assignments)
        self._review_valid_seconds = review_valid_seconds
        """From an acceptance to its end."""
        self._check = check
        """What is wrong with a content by itself, a sentence each."""
        self._fits = fits
        """What is wrong with a set of things that would be served together, a sentence each."""
        self._contents: dict[str, Content] = {}
        self.verdicts: Mapping[str, Verdict] = {}
        """On the contents of the servers that were served last, by digest."""
        self.on_served: list[Callable[[], None]] = []
        """Called, in the thread of the step, after what is served changed."""

    def may(self, caller: Caller, action: Action, tenant: str) -> None:
        """Raises `Refused` NOT_YOUR_ROLE."""
        check_action(caller, action, tenant, self._assignments)

    def has_role(self, caller: Caller) -> bool:
        """Whether an operator has any role anywhere."""
        return any(
            self.roles(caller, tenant) for tenant in ("", caller.tenant, *(name for one in self._assignments for name in one.tenants))
        )

    def roles(self, caller: Caller, tenant: str) -> frozenset[Role]:
        """The roles of an operator in a tenant; the empty one is what belongs to the whole deployment."""
        return roles_of(caller, tenant, self._assignments)

    # What there is

    def listing(self, caller: Caller, kind: Kind | None = None, name: str | None = None) -> list[Shown]:
        """The versions that the operator may read, without their contents."""
        with self._stores.reading() as books:
            versions = [one for one in books.versions(kind, name) if self._readable(caller, one)]
            return self._shown(books, versions)

    def show(self, caller: Caller, kind: Kind, name: str, number: int) -> Shown:
        """One version with its content. Raises `Refused` NOTHING_OF_THAT_NAME, also for what the operator may not read."""
        with self._stores.reading() as books:
            version = self._find(books, caller, kind, name, number)
            return Shown(version, standing(version, books.reviews([version.digest]), self._clock.now()), content_of(books, version))

    def history(self, caller: Caller, *, kind: str = "", name: str = "", after: int = 0, limit: int = 200) -> tuple[list[Event], int]:
        """What happened, in order, of what the operator may read, and the sequence after which the next page begins."""
        found: list[Event] = []
        tenant = "" if self.reads(caller, "") else caller.tenant
        if tenant and not self.reads(caller, tenant) and not self._reads_others(caller):
            return found, after
        position = after
        with self._stores.reading() as books:
            while page := books.history(kind=kind, name=name, after=position, limit=limit):
                for event in page:
                    position = event.sequence
                    if self.reads(caller, event.tenant):
                        found.append(event)
                    if len(found) == limit:
                        return found, position
        return found, found[-1].sequence if found else after

    def _reads_others(self, caller: Caller) -> bool:
        """Whether some role of an operator counts in another tenant than their own."""
        return any(self.reads(caller, tenant) for one in self._assignments for tenant in one.tenants if tenant != EVERYWHERE)

    # Steps

    def propose(self, caller: Caller, kind: Kind, name: str, value: object, reason: str = "") -> Shown:
        """Ask for a content. What is served or asked for already is answered with the version that has it, and nothing changes.

        Raises `Refused`: NOT_YOUR_ROLE, CONTENT_INVALID, NOBODY_ANSWERS.
        """
        content = self._read(kind, name, value)
        tenant = tenant_of(content)
        self.may(caller, Action.PROPOSE, tenant)
        value = stated(content)
        digest, written = content_digest(kind, name, value), canonical_bytes(value)
        verdict = judged_as_kept(kind, written)
        with self._stores.writing() as books:
            versions = books.versions(kind, name)
            self._check_proposal(books, versions, content)
            same = [one for one in versions if one.digest == digest and one.state in (OPEN | SERVED) - {State.DRAFT}]
            if same:
                return self._shown(books, same[-1:])[0]
            now = self._clock.now()
            taken_back = [one for one in versions if one.digest == digest and one.proposer == named(caller) and one.state is State.DRAFT]
            needed = _people_needed(books, versions, kind, content)
            if taken_back:
                draft = _asking_for(books, taken_back[-1], needed)
                again, _ = moved(books, draft, Step.PROPOSE, named(caller), reason, now)
                return self._shown(books, [again])[0]
            draft = Version(
                kind=kind,
                name=name,
                number=max((one.number for one in versions), default=0) + 1,
                tenant=tenant,
                digest=digest,
                state=State.DRAFT,
                proposer=named(caller),
                reviewers_needed=needed,
                proposed_at=now,
            )
            books.add_content(digest, written)
            keep_verdicts(books, {} if verdict is None else {digest: verdict})
            for older in versions:
                if older.state in OPEN and older.proposer == draft.proposer:
                    moved(books, older, Step.RETIRE, CLOCK, f"Replaced by proposal {draft.number}.", now)
            proposed = advanced(draft, Step.PROPOSE, draft.proposer, books.reviews([digest]), now, reason)
            books.add_version(proposed)
            noted(books, proposed, Step.PROPOSE.value, draft.proposer, reason, now)
            return self._shown(books, [proposed])[0]

    def judge(self, caller: Caller, kind: Kind, name: str, number: int, digest: str, *, accepts: bool, note: str = "") -> Shown:
        """Review a version; the reviewer names the digest of what they looked at.

        Raises `Refused`: NOT_YOUR_ROLE, ONLY_PEOPLE_REVIEW, NOTHING_OF_THAT_NAME, DIGEST_DIFFERS, SELF_REVIEW, STEP_NOT_ALLOWED.
        """
        step = Step.ACCEPT if accepts else Step.REJECT
        with self._stores.writing() as books:
            version = self._find(books, caller, kind, name, number)
            self.may(caller, Action.REVIEW, version.tenant)
            if caller.workload or not caller.person:
                raise Refused(Reason.ONLY_PEOPLE_REVIEW)
            if digest != version.digest:
                raise Refused(Reason.DIGEST_DIFFERS, {"digest": version.digest})
            now = self._clock.now()
            review = Review(
                digest=digest,
                reviewer=named(caller),
                accepts=accepts,
                at=now,
                expires_at=now + self._review_valid_seconds,
                note=note,
            )
            after = advanced(version, step, review.reviewer, [*books.reviews([digest]), review], now)
            books.add_review(review)
            books.replace_version(after, version)
            noted(books, after, step.value, review.reviewer, note, now)
            return self._shown(books, [after])[0]

    def step(
        self, caller: Caller, kind: Kind, name: str, number: int, step: Step, *, reason: str = "", window_seconds: float = 0.0
    ) -> Shown:
        """Take a step that is no verdict. `window_seconds` is how long the version that is replaced stays served beside the new one, for
        `ACTIVATE`, or this one goes on, for `DEPRECATE`.

        Raises `Refused`: NOT_YOUR_ROLE, NOTHING_OF_THAT_NAME, STEP_NOT_ALLOWED, REVIEWS_MISSING, NOBODY_ANSWERS, CONTENT_INVALID where
        what would be served does not fit together.
        """
        with self._stores.writing() as books:
            version = self._find(books, caller, kind, name, number)
            self.may(caller, _ACTIONS[step], version.tenant)
            content = content_of(books, version)
            if step is Step.ACTIVATE:
                self._check_spawning(caller, version, content)
                needed = _people_needed(books, books.versions(kind, name), kind, content)
                wanted = _asking_for(books, version, needed)  # something else may be served than when it was proposed
                after = self._activated(books, caller, wanted, content, reason, window_seconds)
            else:
                # What takes something away is never held up by what is left: policies go on knowing what was served.
                if step in _TAKING_AWAY and version.state in SERVED:
                    _check_safeguards(content)
                now = self._clock.now()
                until = now + window_seconds if window_seconds else 0.0
                after, _ = moved(books, version, step, named(caller), reason, now, until=until)
            shown = self._shown(books, [after])[0]
        if SERVED & {version.state, after.state}:
            self.tell()
        return shown

    def rollback(self, caller: Caller, kind: Kind, name: str, number: int, reason: str) -> Shown:
        """Serve the content of an earlier version again, byte for byte, as a new version of its proposer.

        It was agreed on then; the reviews must still hold. Raises `Refused` like `step`.
        """
        with self._stores.writing() as books:
            earlier = self._find(books, caller, kind, name, number)
            self.may(caller, Action.ACTIVATE, earlier.tenant)
            content = content_of(books, earlier)
            self._check_spawning(caller, earlier, content)
            if earlier.state in SERVED or not earlier.activated_at:
                raise Refused(
                    Reason.STEP_NOT_ALLOWED,
                    {"state": earlier.state.value, "step": "rollback"},
                    message="Only what was active once can be rolled back to.",
                )
            now = self._clock.now()
            stands = standing(earlier, books.reviews([earlier.digest]), now)
            if not stands.suffices:
                raise Refused(Reason.REVIEWS_MISSING, {"missing": stands.missing, "rejectedBy": list(stands.rejected_by)})
            number = max(one.number for one in books.versions(kind, name)) + 1
            again = msgspec.structs.replace(
                earlier, number=number, state=State.DRAFT, proposed_at=now, activated_at=0.0, until=0.0, reason=reason
            )
            proposed = advanced(again, Step.PROPOSE, again.proposer, books.reviews([again.digest]), now, reason)
            books.add_version(proposed)
            noted(books, proposed, "rollback", named(caller), reason, now, {"of": earlier.number})
            after = self._activated(books, caller, proposed, content, reason)
            shown = self._shown(books, [after])[0]
        self.tell()
        return shown

    # What is served

    def served(self) -> Served:
        """What is served now."""
        with self._stores.reading() as books:
            return self._served(books)

    def _served(self, books: Books) -> Served:
        """What is served, with the contents, each of which is read once: it never changes. Of a server that is served no more, the version
        that was served last comes along, for the rules that name it."""
        versions = (*books.versions(states=SERVED), *_remembered(books.versions(Kind.SERVER)))
        digests = {one.digest for one in versions}
        known = {digest: content for digest, content in self._contents.items() if digest in digests}
        found: dict[tuple[Kind, str], list[tuple[Version, Content]]] = {}
        raw = books.contents(digests - known.keys())
        for version in sorted(versions, key=lambda one: (one.state is not State.ACTIVE, one.state is not State.DEPRECATED, -one.number)):
            content = known.get(version.digest) or decode_content(version.kind, raw[version.digest])
            known[version.digest] = content
            found.setdefault((version.kind, version.name), []).append((version, content))
        self._contents, self.verdicts = known, verdicts_on(books, known, self.verdicts)
        return found

    # What the steps have in common

    def tell(self) -> None:
        """Say that what is served changed."""
        for told in self.on_served:
            told()

    def reads(self, caller: Caller, tenant: str) -> bool:
        """Whether the operator may read what belongs to a tenant; the empty one is the whole deployment."""
        try:
            self.may(caller, Action.READ, tenant)
        except Refused:
            return False
        return True

    def _readable(self, caller: Caller, version: Version) -> bool:
        return self.reads(caller, version.tenant)

    def _find(self, books: Books, caller: Caller, kind: Kind, name: str, number: int) -> Version:
        for version in books.versions(kind, name):
            if version.number == number and self._readable(caller, version):
                return version
        raise Refused(Reason.NOTHING_OF_THAT_NAME)

    def _read(self, kind: Kind, name: str, value: object) -> Content:
        if NAMES[kind].fullmatch(name) is None:
            raise Refused(Reason.CONTENT_INVALID, {"findings": [f"`{name[:80]}` cannot be the name of a {kind.value}."]})
        try:
            content = read_content(kind, value)
        except msgspec.ValidationError as invalid:
            raise Refused(Reason.CONTENT_INVALID, {"findings": [f"{invalid}."]}) from None
        if isinstance(content, ServerContent) and content.definition.name != name:
            raise Refused(Reason.CONTENT_INVALID, {"findings": [f"The definition is named `{content.definition.name}`."]})
        self.check_content(kind, name, content)
        return content

    def check_content(self, kind: Kind, name: str, content: Content) -> None:
        """Raises `Refused` CONTENT_INVALID for a content that is wrong by itself, as the settings are now."""
        if findings := list(self._check(kind, name, content)):
            raise Refused(Reason.CONTENT_INVALID, {"findings": findings})

    def _check_proposal(self, books: Books, versions: Sequence[Version], content: Content) -> None:
        self._check_answered(content)
        if not isinstance(content, ServerContent):
            return
        tenant = content.definition.tenant
        if tenant not in {one.name for one in books.tenants()}:
            raise Refused(Reason.CONTENT_INVALID, {"findings": [f"There is no tenant `{tenant}`."]})
        if any(one.tenant != tenant for one in versions):
            # A name belongs to its first tenant for good, else what was looked at, noted or rolled back to would change hands. Whose it is
            # stays unsaid.
            raise Refused(Reason.CONTENT_INVALID, {"findings": ["The name is taken."]})

    def _check_answered(self, content: Content) -> None:
        if isinstance(content, ServerContent) and (missing := unanswered(content.definition, day_of(self._clock.now()))):
            raise Refused(Reason.NOBODY_ANSWERS, {"missing": list(missing)})

    def _check_spawning(self, caller: Caller, version: Version, content: Content) -> None:
        """Whoever has a server served that is a program has it started."""
        if isinstance(content, ServerContent) and content.definition.stdio is not None:
            self.may(caller, Action.SPAWN, version.tenant)

    def _activated(
        self, books: Books, caller: Caller, version: Version, content: Content, reason: str, window_seconds: float = 0.0
    ) -> Version:
        """A version that is served in the place of the one before, which is over, or goes on beside it until its window ends."""
        now, actor = self._clock.now(), named(caller)
        self.check_content(version.kind, version.name, content)  # the settings may have changed since it was proposed
        self._check_answered(content)
        for other in books.versions(version.kind, version.name, {State.ACTIVE}):
            replaced = f"Replaced by version {version.number}."
            if window_seconds and version.kind is Kind.SERVER:
                _check_beside(content_of(books, other), content)
                moved(books, other, Step.DEPRECATE, actor, replaced, now, until=now + window_seconds)
            else:
                moved(books, other, Step.RETIRE, actor, replaced, now)
        after, _ = moved(books, version, Step.ACTIVATE, actor, reason, now)
        if findings := list(self._fits(self._served(books))):
            told = findings if self.reads(caller, "") else ["Somebody who reads the whole deployment is told what."]
            raise Refused(Reason.CONTENT_INVALID, {"findings": told}, message="What would be served does not fit together.")
        return after

    def _shown(self, books: Books, versions: Sequence[Version]) -> list[Shown]:
        now = self._clock.now()
        reviews = books.reviews({one.digest for one in versions})
        by_digest: dict[str, list[Review]] = {}
        for review in reviews:
            by_digest.setdefault(review.digest, []).append(review)
        return [Shown(one, standing(one, by_digest.get(one.digest, ()), now)) for one in versions]


def _remembered(versions: Iterable[Version]) -> list[Version]:
    """The version of each server that was served last, where none is served now."""
    last: dict[str, Version] = {}
    served = {one.name for one in versions if one.state in SERVED}
    for version in versions:
        if version.activated_at and version.name not in served and version.activated_at >= last.get(version.name, version).activated_at:
            last[version.name] = version
    return list(last.values())


def _people_needed(books: Books, versions: Iterable[Version], kind: Kind, content: Content) -> int:
    """For a content, or for what it would take the place of: whoever softens something needs as many people as it needed."""
    activated = [one for one in versions if one.activated_at]
    before = [content_of(books, max(activated, key=lambda one: (one.activated_at, one.number)))] if activated else []
    return max(reviewers_needed(kind, one) for one in (content, *before))


def _asking_for(books: Books, version: Version, people: int) -> Version:
    """The version, which needs at least so many people from now on."""
    if people <= version.reviewers_needed:
        return version
    after = msgspec.structs.replace(version, reviewers_needed=people)
    books.replace_version(after, version)
    return after


def _check_safeguards(content: Content) -> None:
    """Without a forbid more is permitted than before, which is nothing that one person decides."""
    if isinstance(content, PolicyContent) and any(
        not rule.permits and not rule.shipped for rule in read_rules({"policy.cedar": content.text})[0]
    ):
        raise Refused(
            Reason.STEP_NOT_ALLOWED,
            {"forbids": True},
            message="It forbids something: propose a version without its forbids, which people review, and end that one.",
        )


def _check_beside(older: Content, newer: Content) -> None:
    if isinstance(older, ServerContent) and isinstance(newer, ServerContent) and (findings := list(unlike(older, newer))):
        raise Refused(Reason.CONTENT_INVALID, {"findings": findings}, message="The two cannot be served side by side.")


def tenant_of(content: Content) -> str:
    """Whose content it is; empty for what belongs to the whole deployment."""
    return content.definition.tenant if isinstance(content, ServerContent) else ""
