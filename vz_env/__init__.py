"""Environments in which a policy learns where to look in a long video."""
