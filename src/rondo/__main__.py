"""Runs the command line: `python -m rondo`."""

from rondo.cli import program

if __name__ == "__main__":
    program()
