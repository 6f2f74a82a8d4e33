"""Plan to text and JSON. Takes a plan (and a trace where numbers are shown); never runs anything."""
