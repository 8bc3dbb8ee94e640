"""The versions whose behaviour the golden data records."""

from __future__ import annotations

import importlib.metadata

PINNED = {
    "torch": "2.15.0",
    "peft": "0.21.2",
    "transformers": "5.23.0",
    "safetensors": "0.8.0",
    "accelerate": "1.15.0",
}


def require() -> None:
    """Stops unless the pinned versions are installed: other ones merge otherwise."""
    wrong = []
    for name, want in PINNED.items():
        try:
            have = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            have = "nothing"
        if have.split("+")[0] != want:
            wrong.append(f"{name}: want {want}, have {have}")
    if wrong:
        raise SystemExit("wrong versions: " + "; ".join(wrong))
