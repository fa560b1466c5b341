"""The command line: python -m recipes.study."""

from recipes.running import main
from recipes.study import Study

if __name__ == "__main__":
    main(Study)
