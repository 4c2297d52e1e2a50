"""The pool's process: connections of miners, the newest work, and the log of shares."""
