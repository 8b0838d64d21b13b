"""Waiting on behalf of boxes: turns, limits, windows, and services that fail."""
