"""A person plays an episode: the session behind `vz play`, in a terminal and in a browser."""
