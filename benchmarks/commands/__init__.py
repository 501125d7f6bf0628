"""The verbs of `vz`, one module each: a dataclass of arguments, and a function that runs and returns an exit code."""
