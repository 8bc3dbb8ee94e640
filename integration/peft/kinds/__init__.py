"""The cases of PEFT's types other than LORA: a file a type, each with a list CASES."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from case import Case


def cases() -> list[Case]:
    names = sorted(module.name for module in iter_modules(__path__))
    return [case for name in names for case in import_module(f"{__name__}.{name}").CASES]
