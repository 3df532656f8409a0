"""`python -m engine.cli`, where the `rowmill` script is not on the path."""

import sys

from engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
