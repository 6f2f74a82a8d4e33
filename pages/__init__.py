"""What `mlpc explain` says of a word: pages of codes, functions, operations, rewrites and derivations, their examples run."""
