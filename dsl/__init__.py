"""The language: text in, frozen syntax or a diagnosis out. Knows no NumPy and nothing of the compiler."""
