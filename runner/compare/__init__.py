"""Which was better? Takes values, gives values."""
