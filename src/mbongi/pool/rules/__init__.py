"""The pool's rules: templates, jobs, shares. Pure."""
