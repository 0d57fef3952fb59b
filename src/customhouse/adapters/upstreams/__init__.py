"""Upstreams: MCP servers over Streamable HTTP, in both eras."""
