"""Made-up secrets of every kind, put together here so that no scanner of repositories takes them for real ones, and ordinary texts."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

_MIXED = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6"

SECRETS: Final[Mapping[str, str]] = {
    "private-key": "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "aws-access-key-id": "AK" + "IAQ3EGWVKN5RYT2MPL",
    "google-api-key": "AI" + "za" + _MIXED[:35],
    "google-oauth-token": "ya" + "29." + _MIXED[:40],
    "google-client-secret": "GOC" + "SPX-" + _MIXED[:28],
    "github-token": "gh" + "p_" + _MIXED[:36],
    "github-fine-grained-token": "github" + "_pat_" + _MIXED[:22] + "_" + _MIXED,
    "gitlab-token": "gl" + "pat-" + _MIXED[:20],
    "slack-token": "xo" + "xb-123456789012-" + _MIXED[:24],
    "slack-app-token": "xa" + "pp-1-A012BCD3EFG-" + _MIXED[:24],
    "anthropic-key": "sk" + "-ant-api03-" + _MIXED[:40],
    "openai-key": "sk" + "-proj-" + _MIXED[:40],
    "openai-legacy-key": "sk" + "-" + _MIXED[:48],
    "stripe-key": "sk" + "_live_" + _MIXED[:24],
    "npm-token": "np" + "m_" + _MIXED[:36],
    "pypi-token": "py" + "pi-AgE" + _MIXED,
    "hugging-face-token": "h" + "f_" + _MIXED[:34],
    "sendgrid-key": "S" + "G." + _MIXED[:22] + "." + _MIXED[:43],
    "age-key": "AGE-SECRET" + "-KEY-1" + _MIXED.upper() + "ABCDEF",
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}
"""The whole secret, by the detector that finds it anywhere in a text."""

IN_CONTEXT: Final = (
    ("slack-webhook", "https://hooks.slack.com/services/{}", "T0123ABCD/B0123ABCD/" + _MIXED[:24]),
    ("bearer-token", "curl -H 'Authorization: Bearer {}' https://api.example", _MIXED[:32]),
    ("bearer-token", '"authorization": "Basic {}"', "YWxhZGRpbjpvcGVuc2VzYW1lMTIz"),
    ("password-in-address", "postgres://app:{}@db.example:5432/main", "hunter2hunter2"),
    ("password-in-address", "redis://:{}@cache.example", "s3cr3tv@lue".replace("@", "")),
    ("assigned-secret", "password: {}", "Xk39fkDkq02kd9"),
    ("assigned-secret", "DB_PASSWORD={}", "x9$kPq2".replace("$", "%") + "Lm81zz"),
    ("assigned-secret", 'client_secret = "{}"', _MIXED[:32]),
    ("assigned-secret", "aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "4A2b3C4d5E"),
    ("assigned-secret", '{{"api_key": "{}"}}', "0f8fad5bd9cb469fa165"),
    ("assigned-secret", '{{\\"accessToken\\": \\"{}\\"}}', _MIXED[:30]),
    ("assigned-secret", "https://api.example/v1?limit=3&access_token={}&page=2", _MIXED[:30]),
)
"""Detector, a text, and the secret in its place."""

ORDINARY: Final = (
    "https://raw.example/x.txt?v=1&token=AAABBB1122CCCDDD33EEE and https://b.s3.example/k?X-Amz-Credential=" + "AK"
    "IAQ3EGWVKN5RYT2MPL%2F20260728&X-Amz-Security-Token=IQoJb3JpZ2luX2VjEJr1&X-Amz-Signature=9f86d081884c7d659a2feaa0c55ad015",
    "The password is stored in the vault; ask the team for the token.",
    "Set `password` to a value of at least 12 characters, then restart the server.",
    "password: changeme, password: ${DB_PASSWORD}, token: <your-token>, api_key: YOUR_API_KEY_HERE",
    'export GITHUB_TOKEN="$(gh auth token)"; curl -H "Authorization: Bearer $GITHUB_TOKEN" https://api.example',
    'headers = {"Authorization": f"Bearer {token}"}',
    "Authorization: Bearer YOUR_ACCESS_TOKEN",
    '{"nextPageToken": "CAUQAA1b2C3d4E5f6G7h8", "items": []}',
    "next_page_token=eyJsYXN0IjoxMjM0NTY3ODkwfQ&sync_token=CPDAlvWDx70CEPDAlvWDx70CGAU",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (HEAD -> main)",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "id: 550e8400-e29b-41d4-a716-446655440000, key: users/550e8400-e29b-41d4-a716-446655440000",
    "primary_key: order_2024_11_05_0001, sort-key: 2026-07-28T10:11:12Z, partition_key=eu1-customer-99812",
    "AKIAIOSFODNN7EXAMPLE is the access key id that the documentation shows.",
    "The scikit-learn class sk-estimator-doc-link and #sk-container-id-1 are in the style sheet.",
    "postgres://user:password@localhost/test and https://user:xxxx@example.org are placeholders.",
    "See https://example.org/a:b@c and mail me at ada@example.org: token ring networks are old.",
    "git@github.com:example/repository.git, ssh://git@host:22/path",
    "tokens: 128000, max_tokens=4096, token_type: Bearer, tokenizer: cl100k_base",
    "secret: true, secrets: [], secretName: my-tls-certificate, secretKeyRef: {name: db, key: url}",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE----- and -----BEGIN PUBLIC KEY-----",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "def check(token: str, password: str = '') -> bool: return verify(token=token, password=password)",
    "private_key = rust_openssl.hpke.MLKEM768X25519PrivateKey; password = base64.b64encode(raw); secret=self.kms2_backend.key",
    "api_key = os.environ['OPENAI_API_KEY']; secret = config.get('app.secret.value')",
    "The hf_hub_download function of hugging face; gho_st in the shell; ya29 is a prefix; eyJ begins a JWT.",
    "Flight LH1234 departs 12:45, gate B22; booking token: see the mail. Passwort: siehe Tresor.",
    "password_hash_algorithm: argon2id; password-reset: /account/password/reset; token=none",
)
"""Texts in which nothing is secret, though much looks like it."""

ENCODERS: Final[tuple[Callable[[object], bytes], ...]] = (
    lambda value: json.dumps(value).encode(),
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"),
    lambda value: json.dumps(value, indent=2).encode(),
    msgspec.json.encode,
    lambda value: json.dumps(value).replace("/", "\\/").encode(),
    lambda value: json.dumps(json.dumps(value)).encode(),
    lambda value: re.sub("[:=&<>'@]", lambda char: f"\\u{ord(char[0]):04x}", json.dumps(json.dumps(value))).encode(),
)
"""Ways to write JSON: everything in ASCII, as it is, indented, slashes escaped, JSON within JSON, and as for a page of HTML."""
