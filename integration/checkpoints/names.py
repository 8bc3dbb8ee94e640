"""Writes names.json: what PEFT calls the tensors of a training model when it saves them.

    python names.py --out FILE

For each case of integration/peft: the type, the config fields that decide names, the
names in the model's state dict in order, and for those that get_peft_model_state_dict
takes the name that it gives them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "peft"))

import goldens  # noqa: E402
import torch  # noqa: E402
from peft import PeftModel, get_peft_model_state_dict  # noqa: E402


BASES = Path(__file__).parent.parent / "testdata/goldens/bases"


def names(case, model) -> dict:
    state = {}
    for i, key in enumerate(model.state_dict()):
        state[key] = torch.full((1,), float(i))  # its number, so that renaming leaves a trace
    keys = list(state)
    saved = get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False)
    config = model.peft_config["default"].to_dict()
    fields = {k: config[k] for k in ("bias", "modules_to_save", "save_projection", "save_indices") if config.get(k)}
    if isinstance(fields.get("modules_to_save"), set):
        fields["modules_to_save"] = sorted(fields["modules_to_save"])
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    rows = [[k, "t" if k in trained else "", ""] for k in keys]
    for name, value in saved.items():
        if value.numel() == 1 and float(value) == int(value) and int(value) < len(rows):
            rows[int(value)][2] = name
    return {"case": case.name, "type": case.kind, "fields": fields, "tensors": brief(rows)}


def brief(rows: list) -> list:
    """Keeps some of each sort."""
    taken = [r for r in rows if r[2]][:12]
    wrapped = [r for r in rows if not r[2] and re.search(r"default|original_module|base_layer", r[0])][:6]
    plain = [r for r in rows if not r[2] and r not in wrapped][:3]
    return [r for r in rows if r in taken + wrapped + plain]


def renaming(name: str, saved: str) -> str:
    """What PEFT does to a name, without the layer that it is in."""
    a, b = name.split("."), saved.split(".")
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(b))
    return re.sub(r"\d+", "#", ".".join(a[max(same - 1, 0) :]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found: list = []
    seen: set = set()
    for case in goldens.CASES:
        try:
            model = goldens.train_adapter(case, BASES / f"{case.base.replace(chr(95), chr(45))}-{case.dtype}", 0)
            if not isinstance(model, PeftModel):
                continue
            entry = names(case, model)
        except Exception as e:  # a case that PEFT refuses, or that needs a file
            print(case.name, type(e).__name__, str(e)[:80], file=sys.stderr)
            continue
        new = {(entry["type"], entry["fields"].get("bias"), renaming(r[0], r[2])) for r in entry["tensors"] if r[2]}
        if new - seen:
            seen |= new
            found.append(entry)
    args.out.write_text("[\n" + ",\n".join(json.dumps(e) for e in found) + "\n]\n")


if __name__ == "__main__":
    main()
