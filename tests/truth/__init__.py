"""Real bugs of real packages, with their real fixes, and agents of which it is known how good they are.

`bugs` is the table, `fixes` says what a later release changed, `making` lays repositories and hidden tests
out, `agents` are the agents and the model that they ask, `night` is the task file. `python -m tests.truth`
tries on this machine, without containers, that the table is right.
"""
