"""What may leave the sandbox, and what does it cost? The process between the boxes and the models."""
