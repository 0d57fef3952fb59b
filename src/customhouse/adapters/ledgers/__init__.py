"""Ledgers: the append-only audit log on local disk."""
