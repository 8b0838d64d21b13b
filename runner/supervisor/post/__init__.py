"""Mail between tasks, and with people: what may be sent, who gets it, and what is unanswered. Pure."""
