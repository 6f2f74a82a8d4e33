"""Rewrites the files for editors. Run: python -m mlpc.editors"""

from __future__ import annotations

from pathlib import Path

from .pygments_source import lexer
from .textmate import grammar
from .words import words


def made() -> dict[str, str]:
    """What each file that is made must say, by its name in this folder."""
    found = words()
    return {"mlpc.tmLanguage.json": grammar(found), "pygments_lexer.py": lexer(found)}


def main() -> None:
    """Writes those that have changed, and names them."""
    for name, text in made().items():
        path = Path(__file__).parent / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
