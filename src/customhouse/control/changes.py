"""What servers say outside of calls, told to every part of the gateway that wants to know."""

from collections.abc import Callable


class Changes:
    """Implements `ports.traffic.Hearing`; whoever wants to know adds itself."""

    def __init__(self) -> None:
        self.on_changed: list[Callable[[str, str], None]] = []
        """Called with the server and `tools`, `prompts` or `resources`."""
        self.on_updated: list[Callable[[str, str, str], None]] = []
        """Called with the server, the session key of a subscriber, and the URI."""

    def changed(self, server: str, kind: str) -> None:
        """See `ports.traffic.Hearing`."""
        for told in self.on_changed:
            told(server, kind)

    def updated(self, server: str, session_key: str, uri: str) -> None:
        """See `ports.traffic.Hearing`."""
        for told in self.on_updated:
            told(server, session_key, uri)
