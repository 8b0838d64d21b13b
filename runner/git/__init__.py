"""What may git do here? `trusted` asks the user's repository; `closed` handles everything else."""
