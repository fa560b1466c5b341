"""python -m stepped fit ..."""

from recipes.running.cli import main
from stepped.module import Automatic

if __name__ == "__main__":
    main(Automatic)
