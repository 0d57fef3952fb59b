"""Telemetry: readers of the closing records."""
