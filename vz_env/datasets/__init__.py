"""Datasets of episodes: the JSONL format, the registry, and the needle generator."""
