"""The performance benchmarks: each is a command of its own, run side by side with the libraries people know.

`python -m vz_benchmarks.speed.<name>` prints a table and, as its last line, one JSON object
`{"ratios": {...}, "targets": {...}}` in which larger is better.
"""
