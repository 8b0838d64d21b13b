"""Corral runs coding agents unattended, each in its own container over its own git worktree."""

__version__ = "0.1.0"
