"""What answers instead of a service: scripts, and recordings of earlier runs."""
