"""The Model Context Protocol in all its revisions, as pure functions over JSON values."""
