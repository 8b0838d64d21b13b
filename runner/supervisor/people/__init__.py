"""How people are told what happens in the night."""
