"""Kills runs and resumes them, and compares what they leave with runs that nobody killed."""
