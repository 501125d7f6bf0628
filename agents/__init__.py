"""Policies, rollouts and trainers for VideoZoomer-Gym; imported as `vz_agents`."""
