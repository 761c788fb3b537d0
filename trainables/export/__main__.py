"""The command `python -m trainables.export`."""

import sys

from trainables.export.command import main

if __name__ == "__main__":
    sys.exit(main())
