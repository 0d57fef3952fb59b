"""Commands that fetch a package are read as one exact package, and everything else is refused in a sentence."""

import pytest

from customhouse.config.packagecommands import PackageCommand, Unimportable, checked_arguments, package_command


@pytest.mark.parametrize(
    ("command", "ecosystem", "package", "version", "program", "arguments"),
    [
        ("npx -y @acme/notes@1.2.3 --dir /srv", "npm", "@acme/notes", "1.2.3", "notes", ("--dir", "/srv")),
        ("npx notes@1.2.3-rc.1+linux", "npm", "notes", "1.2.3-rc.1+linux", "notes", ()),
        ("npx --yes --package=@acme/notes@1.2.3 notes-mcp -v", "npm", "@acme/notes", "1.2.3", "notes-mcp", ("-v",)),
        ("npx -p notes@1.2.3", "npm", "notes", "1.2.3", "notes", ()),
        ("npm exec -- notes@1.2.3", "npm", "notes", "1.2.3", "notes", ()),
        ("/usr/local/bin/NPX.cmd notes@1.2.3", "npm", "notes", "1.2.3", "notes", ()),
        (r"C:\node\npx.exe notes@1.2.3", "npm", "notes", "1.2.3", "notes", ()),
        ("bunx --bun notes@1.2.3", "npm", "notes", "1.2.3", "notes", ()),
        ("pnpm dlx notes@1.2.3", "npm", "notes", "1.2.3", "notes", ()),
        ("uvx notes-mcp==1.2", "pypi", "notes-mcp", "1.2", "notes-mcp", ()),
        ("uvx notes-mcp@1.2 --verbose", "pypi", "notes-mcp", "1.2", "notes-mcp", ("--verbose",)),
        ("uvx --python 3.12 --from notes-mcp==1!1.2.0rc1.post2 serve", "pypi", "notes-mcp", "1!1.2.0rc1.post2", "serve", ()),
        ("uv tool run notes-mcp[cli]==1.2", "pypi", "notes-mcp", "1.2", "notes-mcp", ()),
        ("pipx run --spec notes-mcp==1.2 notes", "pypi", "notes-mcp", "1.2", "notes", ()),
    ],
)
def test_a_package_command_is_read(
    command: str, ecosystem: str, package: str, version: str, program: str, arguments: tuple[str, ...]
) -> None:
    read = package_command(command.split(" "))
    assert read == PackageCommand(ecosystem, package, version, program, arguments, read.notes)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("npx -y notes", "no version"),
        ("npx notes@latest", "`latest`"),
        ("uvx notes-mcp@latest", "`latest`"),
        ("npx notes@next", "a tag or a range"),
        ("npx notes@^1.2.3", "a tag or a range"),
        ("npx notes@1", "a tag or a range"),
        ("npx notes@1.x.0", "a tag or a range"),
        ("uvx notes-mcp", "no version"),
        ("uvx notes-mcp>=1.2", "a tag or a range"),
        ("uvx notes-mcp==1.*", "a tag or a range"),
        ("uvx --from git+https://git.example/notes notes", "not a package of pypi"),
        ("npx github:acme/notes", "not a package of npm"),
        ("npx ./notes", "not a package of npm"),
        ("npx", "not a package of npm"),
        ("npx --registry=https://evil.example notes@1.2.3", "an option --registry that changes"),
        ("uvx --with other notes-mcp==1.2", "an option --with that changes"),
        ("npx -p a@1.2.3 -p b@1.2.3 a", "several packages"),
        ("npx -p a@1.2.3 $(id)", "not named plainly"),
        ("bash -c npx", "starts a shell"),
        ("/bin/SH -c npx", "starts a shell"),
        ("cmd.exe /c npx notes@1.2.3", "starts a shell"),
        ("powershell -Command npx", "starts a shell"),
        ("env A=b npx notes@1.2.3", "through a wrapper"),
        ("sudo npx notes@1.2.3", "through a wrapper"),
        ("docker run -i notes", "starts a container"),
        ("node /srv/notes.js", "a program of that machine"),
        ("python -m notes", "a program of that machine"),
    ],
)
def test_another_command_is_refused_in_a_sentence(command: str, sentence: str) -> None:
    with pytest.raises(Unimportable) as refused:
        package_command(command.split(" "))
    assert sentence in refused.value.sentence


@pytest.mark.parametrize("command", ["npx -y notes@1.2.3", "npx;id", "npx|tee", "$HOME/npx", "`id`"])
def test_a_command_in_one_text_is_for_a_shell(command: str) -> None:
    with pytest.raises(Unimportable, match="starts a shell"):
        package_command([command])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--api-key", "hunter2"], "looks like a secret"),
        (["--api_key", "hunter2"], "looks like a secret"),
        (["--token=hunter2"], "looks like a secret"),
        (["postgres://ann:hunter2@db/notes"], "looks like a secret"),
        (["--dir", "${workspaceFolder}"], "filled in by the client"),
        (["${input:hunter2}"], "filled in by the client"),
        (["$HOME"], "filled in by the client"),
        (["%APPDATA%"], "filled in by the client"),
    ],
)
def test_an_argument_with_a_secret_or_a_blank_is_refused_without_repeating_it(arguments: list[str], sentence: str) -> None:
    with pytest.raises(Unimportable) as refused:
        checked_arguments(arguments)
    assert sentence in refused.value.sentence
    assert "hunter2" not in refused.value.sentence


def test_plain_arguments_stay_as_they_are() -> None:
    assert checked_arguments(["--verbose", "--dir", "/srv/notes"]) == ("--verbose", "--dir", "/srv/notes")
