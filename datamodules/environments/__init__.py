"""Environments of reinforcement learning, many at once: pure functions on batches, and streams."""
