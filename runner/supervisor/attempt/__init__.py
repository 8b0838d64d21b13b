"""One attempt: its boxes, the watch over them, and what comes home."""
