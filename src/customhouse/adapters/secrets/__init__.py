"""Secrets: values read from the environment or from files, by reference."""
