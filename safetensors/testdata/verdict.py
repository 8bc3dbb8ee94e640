"""Judges safetensors files with the Rust library.

Reads records (8 bytes little-endian length, then the file) from stdin until it
ends, and writes one line of JSON for each: {"tensors": {name: [dtype, shape,
bytes]}} or {"error": text}.
"""
import json
import struct
import sys

import safetensors


def judge(data):
    try:
        found = safetensors.deserialize(data)
    except BaseException as e:  # a Rust panic is no Exception
        return {"error": f"{type(e).__name__}: {e}"}
    return {"tensors": {n: [t["dtype"], list(t["shape"]), len(t["data"])] for n, t in found}}


def main():
    inp = sys.stdin.buffer
    print(json.dumps({"version": safetensors.__version__}), flush=True)
    while True:
        head = inp.read(8)
        if len(head) < 8:
            return
        print(json.dumps(judge(inp.read(struct.unpack("<Q", head)[0]))), flush=True)


main()
