"""Bringing a company's files in: read, check, apply, and take back as a whole."""
