"""What was asked and what it cost: durable, before it is sent and after."""
