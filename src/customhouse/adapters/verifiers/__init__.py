"""Credential verifiers: JSON Web Tokens of configured issuers, and the local development issuer."""
