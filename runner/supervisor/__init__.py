"""How do many live through the night? Journal, state, schedule, and one attempt's life."""
