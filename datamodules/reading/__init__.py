"""From files, on this machine or elsewhere, to columns of numbers, labels and images."""
