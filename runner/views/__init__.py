"""How do people look? Terminal, report and machine formats."""
