"""The door of the callers: HTTP endpoints of the gateway."""
