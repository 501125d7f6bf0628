"""Evaluation, statistics, reports and the `vz` command for VideoZoomer-Gym; imported as `vz_benchmarks`."""
