"""`python -m mlpc`."""

from .cli.main import main

raise SystemExit(main())
