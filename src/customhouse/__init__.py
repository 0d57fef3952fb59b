"""Customhouse: the governed way from every MCP client to every MCP server."""

__version__ = "0.1.0"
