"""What was asked? The task file, the task graph and the plan. Pure: touches nothing outside."""
