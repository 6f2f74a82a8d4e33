"""The page of a run: one file of HTML with its pictures in it, for a person to read and send."""
