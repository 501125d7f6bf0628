"""Studies: longer runs behind a figure of the documentation, each started by one command."""
