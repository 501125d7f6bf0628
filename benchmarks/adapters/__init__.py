"""Official benchmark files on the disk, read as episodes: one module a benchmark, and never a download."""
