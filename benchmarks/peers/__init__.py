"""The peers of benchmarks/training.py, each a script for an environment of its own."""
