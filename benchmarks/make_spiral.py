"""Makes models/data/spiral.csv: two arms of 100 points each, wound one and a half times, with a little noise. No data of anybody's."""

import math
import random
from pathlib import Path


def main() -> None:
    """Writes the file; the same bytes every time."""
    chance = random.Random(1)
    rows = ["u,v,arm"]
    for i in range(100):
        radius, angle = 0.1 + 0.9 * i / 99, 3 * math.pi * i / 99
        for arm, turn in (("left", 0.0), ("right", math.pi)):
            u = radius * math.cos(angle + turn) + chance.gauss(0, 0.02)
            v = radius * math.sin(angle + turn) + chance.gauss(0, 0.02)
            rows.append(f"{u:.4f},{v:.4f},{arm}")
    (Path(__file__).parent.parent / "models" / "data" / "spiral.csv").write_text("\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
