"""Kills runs, resumes them, and compares what they leave with what runs leave that nobody killed."""
