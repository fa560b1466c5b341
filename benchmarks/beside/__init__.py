"""What recipes cost beside what people would write or pick instead; run by benchmarks/speed.py."""
