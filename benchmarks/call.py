"""Times calls of one or a few steps: the same as `rondo bench call`.

python benchmarks/call.py [--quick] [--threads N] [--output benchmarks/results]
"""

import sys

from rondo.cli import main

sys.exit(main(["bench", "call", *sys.argv[1:]]))
