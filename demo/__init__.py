"""The demo: real packages, real bugs and a real agent CLI, with a script in the place of the model."""
