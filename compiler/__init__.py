"""The compiler: syntax and schema in, plan out. Computes no number of the user's data."""
