"""Who does it? One file per agent CLI: command line, environment, seeded files, output dialect. Pure."""
