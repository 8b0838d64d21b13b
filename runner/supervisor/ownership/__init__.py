"""Whose is a run? The one process that may write its journal, how it stays, and what it is told to do."""
