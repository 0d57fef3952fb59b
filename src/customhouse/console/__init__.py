"""The operators' door: JSON API shared with the command line."""
