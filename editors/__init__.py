"""Colours for editors and documents, made from the grammar, the compiler's vocabulary and std: `python -m mlpc.editors`."""
