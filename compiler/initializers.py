"""The initialisers' signatures: argument names in order, with defaults (None: required). Drawing is `runtime.init`'s."""

from __future__ import annotations

SIGNATURES: dict[str, dict[str, float | None]] = {
    "zeros": {},
    "ones": {},
    "constant": {"value": None},
    "values": {"value": None},
    "normal": {"mean": 0.0, "std": 1.0},
    "uniform": {"low": 0.0, "high": 1.0},
    "glorot_normal": {},
    "glorot_uniform": {},
    "he_normal": {},
    "he_uniform": {},
    "lecun_normal": {},
    "orthogonal": {},
}
