"""From the command line to the Trainer: what runs every recipe."""
