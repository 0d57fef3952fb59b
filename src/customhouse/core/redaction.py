"""Secrets in texts, found by how they are written and replaced by the name of what was found.

Sources: the published formats of the issuers (AWS: identifiers of IAM; GitHub: "Behind GitHub's new authentication token formats"; RFC 7519
for JWT; RFC 7468 for PEM; RFC 3986, section 3.2.1 for passwords in addresses). A format without a prefix of its own counts only as a value
that stands beside a name such as `password`, and only if it looks drawn at random: long, with digits among its letters, and as varied.

Each detector has a *sign*, which is looked for in undecoded JSON in one pass (`scanning.py`), and an *expression*, which finds the very
place in decoded text. Whatever the expression finds, the sign or the sign of an escape finds too; a law in the tests holds that.
Expressions have bounded or possessive repetition only, so their time is linear in the text.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import log2
from typing import Final

from customhouse.core.scanning import Signs

_NOT_IN_WORD = "(?<![A-Za-z0-9+/_-])"
_ENDS = "(?![A-Za-z0-9_])"

MIN_RANDOM_CHARACTERS = 12
MIN_RANDOM_BITS = 2.9
"""Entropy per character: 3.2 for 16 hexadecimal digits on average, 3.4 for 12 letters and digits drawn at random."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of secret."""

    name: str
    sign: str
    """For Rust's `regex`, over undecoded JSON: quotes, slashes and white space may have backslashes before them."""
    expression: re.Pattern[str]
    """For Python's `re`, over text. A group `secret` is what is replaced; without one, all of it."""
    must_look_random: bool = False


def _token(name: str, prefix: str, chars: str, least: int, most: int = 0, *, must_look_random: bool = False) -> Detector:
    """A prefix and characters that JSON never escapes. Without `most`, exactly `least` of them."""
    repeated = f"{chars}{{{least},{most}}}+" if most else f"{chars}{{{least}}}{_ENDS}"
    sign = f"{prefix}{chars}{{{min(least, _IN_SIGN)}}}"
    return Detector(name, sign, re.compile(_NOT_IN_WORD + prefix + repeated), must_look_random)


_IN_SIGN = 8
"""Characters behind a prefix that a sign asks for: enough to tell, few enough for a small automaton."""
_BETWEEN = r"(?:[\\\x22'`\s]|\\t)*"
"""What may stand between a name and its value in undecoded JSON: quotes and white space, with backslashes before them."""


def _cased(*words: str) -> str:
    """Words as they are written in names: lower case, with a capital, in capitals."""
    return "|".join(form for word in words for form in dict.fromkeys((word, word.capitalize(), word.upper())))


_KEY_OF = _cased("api", "private", "account", "encryption", "master", "access", "auth", "license", "secret")
_SECRET_NAME = re.compile(
    rf"(?:(?:{_cased('password', 'passwd', 'passphrase', 'secret', 'credential', 'credentials')})"
    rf"|(?:^|[_.-]|[a-z0-9](?=[A-Z])|{_cased('access', 'auth', 'refresh', 'bearer')})(?:{_cased('token')}|pwd|PWD)"
    rf"|(?:{_KEY_OF})(?:[_-](?:{_cased('key')})|Key|KEY)|apikey)$"
)
_NOT_SECRET_NAME = re.compile(
    r"(?:page|next|prev|previous|continuation|sync|cursor|csrf|xsrf|cancel|progress|resume|public|primary|foreign|partition|sort|cache|"
    r"idempotency|scroll|change|delta)[_.-]?(?:page[_.-]?)?(?:token|key)$",
    re.IGNORECASE,
)

_VALUE_BEGINS = r"[!#-&(-;=?-~]"
"""Printable but for quotes and angle brackets."""
_VALUE_OF_MEMBER = re.compile(_VALUE_BEGINS + "{12}[!-~]*")

_NAME_ENDS = (
    *("ssword", "SSWORD", "sswd", "SSWD", "phrase", "PHRASE", "pwd", "PWD", "ecret", "ECRET", "oken", "OKEN"),
    *("edential", "EDENTIAL", "_key", "-key", "ikey", "Key", "KEY"),
)
"""How names of secrets end, without the letter that may be a capital: literals that the engine finds fast."""

DETECTORS: Final = (
    Detector(
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:[^-]|-(?!----)){0,65536}+-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"|(?:\s|\\[nr])*+(?:[0-9A-Za-z+/=]{16,}+(?:\s|\\[nr])*+)++)"
        ),
    ),
    Detector(
        "aws-access-key-id",
        "A[KS]IA[A-Z2-7]{8}",
        re.compile(f"{_NOT_IN_WORD}(?<!Credential=)A[KS]IA(?![A-Z2-7]{{9}}EXAMPLE)[A-Z2-7]{{16}}{_ENDS}"),
    ),
    _token("google-api-key", "AIza", "[0-9A-Za-z_-]", 35),
    _token("google-oauth-token", r"ya29\.", "[0-9A-Za-z_-]", 20, 2048),
    _token("google-client-secret", "GOCSPX-", "[0-9A-Za-z_-]", 28),
    _token("github-token", "gh[pousr]_", "[0-9A-Za-z]", 36, 255),
    _token("github-fine-grained-token", "github_pat_", "[0-9A-Za-z_]", 22, 255),
    _token("gitlab-token", "gl(?:pat|rt)-", "[0-9A-Za-z_-]", 20, 255),
    _token("slack-token", "xox[abeoprs]-", "[0-9A-Za-z-]", 10, 255),
    _token("slack-app-token", "xapp-[0-9]-", "[0-9A-Za-z-]", 20, 255),
    Detector(
        "slack-webhook",
        r"hooks\.slack\.com\\?/services",
        re.compile(r"hooks\.slack\.com/services/(?P<secret>T[0-9A-Z]{6,20}/B[0-9A-Z]{6,20}/[0-9A-Za-z]{16,40})"),
    ),
    _token("anthropic-key", "sk-ant-[0-9a-z]{2,12}-", "[0-9A-Za-z_-]", 20, 255),
    _token("openai-key", "sk-(?:proj|svcacct|admin)-", "[0-9A-Za-z_-]", 20, 255),
    _token("openai-legacy-key", "sk-", "[0-9A-Za-z]", 32, 64, must_look_random=True),
    Detector("stripe-key", "k_(?:live|test)_[0-9A-Za-z]{8}", re.compile(_NOT_IN_WORD + "[rs]k_(?:live|test)_[0-9A-Za-z]{16,255}+")),
    _token("npm-token", "npm_", "[0-9A-Za-z]", 36),
    _token("pypi-token", "pypi-AgE", "[0-9A-Za-z_-]", 50, 1024),
    _token("hugging-face-token", "hf_", "[0-9A-Za-z]", 34),
    _token("sendgrid-key", "SG[.][0-9A-Za-z_-]{22}[.]", "[0-9A-Za-z_-]", 43),
    _token("age-key", "AGE-SECRET-KEY-1", "[0-9A-Z]", 58),
    Detector(
        "jwt",
        r"eyJ[0-9A-Za-z_-]{8,}\.eyJ",
        re.compile(_NOT_IN_WORD + r"eyJ[0-9A-Za-z_-]{10,8192}+\.eyJ[0-9A-Za-z_-]{10,65536}+\.[0-9A-Za-z_-]{0,8192}+"),
    ),
    Detector(
        "bearer-token",
        rf"(?:earer|EARER|uthorization{_BETWEEN}[:=]{_BETWEEN}(?:[Bb]asic|[Tt]oken))(?: |\\t)+[0-9A-Za-z._~+\\/-]{{12}}",
        re.compile(
            r"(?:(?<![A-Za-z])(?:[Bb]earer|BEARER)|[Aa]uthorization[\\\"'`]{0,8}[ \t]{0,8}[:=][ \t\\\"'`]{0,8}(?:[Bb]asic|[Tt]oken))"
            r"[ \t]{1,4}(?P<secret>[0-9A-Za-z._~+/-]{12,8192}+={0,2})"
        ),
        must_look_random=True,
    ),
    Detector(
        "password-in-address",
        r"(?:://|:\\/\\/)[^\s/:@\x22]*:[^\s/@\x22]+@",
        re.compile(
            r"(?<=[A-Za-z0-9])://[^\s/:@\"'<>]{0,100}+:"
            r"(?P<secret>(?!(?:password|passwd|pass|pwd|secret|changeme|x{3,}|\*{3,}|\.{3,})@)[^\s/@\"'<>${}\[\]]{1,200}+)(?=@[^\s@])"
        ),
    ),
    Detector(
        "assigned-secret",
        rf"(?:{'|'.join(_NAME_ENDS)})[sS]?{_BETWEEN}(?::?=>?|:){_BETWEEN}{_VALUE_BEGINS}{{12}}",
        re.compile(r"(?P<assigns>:=|[:=]>?)[ \t]{0,8}[\\\"'`]{0,4}(?P<secret>[0-9A-Za-z_+/~!@#%^*.-]{12,512}+(?:={1,2}(?![0-9A-Za-z]))?)"),
        must_look_random=True,
    ),
)
"""In this order: what the earlier ones replaced, the later ones do not see."""

NAMES: Final = tuple(detector.name for detector in DETECTORS)

_DIGIT = re.compile("[0-9]")
_LETTER = re.compile("[A-Za-z]")
_PLAIN = re.compile(
    r"[0-9.,:+/_-]*+|(?:[a-z]++|[0-9]++)(?:[._/-](?:[a-z]++|[0-9]++))*+[0-9]{0,2}|v?[0-9]++(?:\.[0-9]++)++[a-z0-9.-]*+|(?:https?:)?/{1,2}.*"
    r"|(?:[a-z_][a-z0-9_]*+\.)++[a-z_][a-z0-9_]*+",
    re.IGNORECASE,
)
"""Numbers, dates, words with separators, versions, paths and addresses, names of a program joined by dots."""


def looks_random(value: str) -> bool:
    """Whether a value looks drawn at random, not written by somebody."""
    if len(value) < MIN_RANDOM_CHARACTERS or not _DIGIT.search(value) or not _LETTER.search(value) or _PLAIN.fullmatch(value):
        return False
    counts = [value.count(char) for char in set(value)]
    return -sum(n / len(value) * log2(n / len(value)) for n in counts) >= MIN_RANDOM_BITS


def names_secret(name: str) -> bool:
    """Whether a member of this name holds a secret by its name."""
    return _SECRET_NAME.search(name) is not None and _NOT_SECRET_NAME.search(name) is None


def _name_before(match: re.Match[str]) -> str:
    """The name that a value is assigned to; empty if there is none, or if it opens the one address that it stands in.

    `token` in the query of an address, and what storage services sign addresses with, are handed out so that somebody can follow them.
    """
    start = match.start()
    found = _NAME_BEFORE.search(match.string, max(0, start - _LONGEST_NAME), start)
    if found is None or (match.string[found.start() - 1 : found.start()] in ("?", "&") and _OF_AN_ADDRESS.fullmatch(found[1])):
        return ""
    return found[1]


_LONGEST_NAME = 80
_OF_AN_ADDRESS = re.compile("token|X-Amz-(?:Security-Token|Credential)", re.IGNORECASE)
_NAME_BEFORE = re.compile(r"(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]{1,64})[\\\"'`]{0,4}[ \t]{0,8}$")


class Redactor:
    """Replaces what the detectors find, but for what was permitted by the name of a detector or the `sha256:` of a value."""

    def __init__(self, permitted: Collection[str] = ()) -> None:
        self._rows = tuple((one, Signs([one.sign])) for one in DETECTORS if one.name not in permitted)
        self._values = frozenset(one.removeprefix("sha256:") for one in permitted if one.startswith("sha256:"))

    @property
    def signs(self) -> Iterator[str]:
        """The signs of everything that this redactor replaces."""
        return (detector.sign for detector, _ in self._rows)

    def redacted(self, text: str, found: dict[str, int], name: str = "") -> str:
        """The text without secrets; `found` counts them by detector. `name` is that of the member whose value the text is, if it is one."""
        if name and self._is_secret_member(name, text):
            return self._replaced("assigned-secret", text, found)
        for detector, signs in self._rows:
            if signs.found(text):
                text = detector.expression.sub(lambda match, one=detector: self._judged(one, match, found), text)  # type: ignore[misc]
        return text

    def _is_secret_member(self, name: str, text: str) -> bool:
        return (
            any(one.name == "assigned-secret" for one, _ in self._rows)
            and _VALUE_OF_MEMBER.fullmatch(text) is not None
            and looks_random(text)
        )

    def _judged(self, detector: Detector, match: re.Match[str], found: dict[str, int]) -> str:
        groups: Mapping[str, str] = match.groupdict()
        secret = groups.get("secret") or match[0]
        if (detector.must_look_random and not looks_random(secret)) or ("assigns" in groups and not names_secret(_name_before(match))):
            return match[0]
        replaced = self._replaced(detector.name, secret, found)
        start, end = match.span("secret" if "secret" in groups else 0)
        return match[0][: start - match.start()] + replaced + match[0][end - match.start() :]

    def _replaced(self, detector: str, secret: str, found: dict[str, int]) -> str:
        if self._values and sha256(secret.encode("utf-8", "surrogatepass")).hexdigest() in self._values:
            return secret
        found[detector] = found.get(detector, 0) + 1
        return f"[redacted: {detector}]"
