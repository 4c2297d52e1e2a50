"""One file per benchmark, run by ``./mbongi bench NAME [--json]``; last figures in README.md beside this file."""
