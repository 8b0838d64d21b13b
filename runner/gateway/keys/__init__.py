"""Credentials: where they come from, and how logins are kept fresh."""
