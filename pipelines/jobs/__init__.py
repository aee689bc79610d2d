"""Use cases: compose the other rooms, and nothing else."""
