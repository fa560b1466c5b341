"""What the keys of random numbers begin with, so that no two purposes draw the same."""

# The first number in the key of what is drawn for a row.
TIMES, NOISE, LABELS, START, ON_THE_WAY = 20, 21, 22, 23, 24
PREDICTION, INTERPOLATION, DRAWN = -2, -3, -4  # in the key, in place of an epoch
