"""The command line: python -m recipes.dqn."""

from recipes.dqn import DQN
from recipes.running import main

if __name__ == "__main__":
    main(DQN)
