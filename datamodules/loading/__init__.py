"""From tables and streams to batches, in an order that is a pure function of seed and epoch."""
