"""Runs the command line: `python -m rondo`."""

from rondo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
