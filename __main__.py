"""`python -m mlpc`."""

from .cli.main import process

process()
