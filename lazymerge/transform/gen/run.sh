#!/bin/sh
# Makes the tables with the pinned PEFT; go generate expands dollars itself, so the
# choice of Python stands here.
set -e
python=${LORAFS_PYTHON:-$HOME/.cache/lorafs/venv/bin/python}
"$python" gen/wavelets.py wavelets.txt
