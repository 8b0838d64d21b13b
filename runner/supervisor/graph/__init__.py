"""Which attempts are done, when, from what, and again: the run's graph, decided purely from its state."""
