"""Sandboxes: how a stdio server is started so that it can do no harm."""
