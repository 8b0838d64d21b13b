"""The way out to other hosts: which are let through, and how they are reached."""
