"""Models: one a file, to be read beside its paper."""
