"""The command line: python -m recipes.regress."""

from recipes.cli import main
from recipes.regress import Regress

if __name__ == "__main__":
    main(Regress)
