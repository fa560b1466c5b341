"""One package per training technique; each runs as `python -m recipes.<technique>`."""
