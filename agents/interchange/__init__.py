"""Trajectories in the formats of other trainers, and theirs as ours; one file a format."""
