"""What comes home? Pack stream, quarantine, policy and check."""
