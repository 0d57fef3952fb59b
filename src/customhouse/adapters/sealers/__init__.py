"""Sealing what clients carry for the gateway."""
