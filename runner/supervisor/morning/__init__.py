"""What is made of a night's results in the morning."""
