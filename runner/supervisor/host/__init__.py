"""The host that all attempts share: what it has, and whether it can bear a run."""
