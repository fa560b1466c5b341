"""The command line: python -m recipes.feedback."""

from recipes.feedback import Feedback
from recipes.running import main

if __name__ == "__main__":
    main(Feedback)
