#!/bin/sh
# Makes the tables and the tests' corpus with the pinned transformers; go generate
# expands dollars itself, so the choice of Python stands here.
set -e
python=${LORAFS_PYTHON:-$HOME/.cache/lorafs/venv/bin/python}
"$python" gen/tables.py tables.txt
"$python" gen/order.py order.txt
"$python" gen/corpus.py testdata/corpus.jsonl.gz
"$python" gen/renames.py testdata/renames.jsonl.gz
"$python" gen/tasks.py testdata/tasks.json.gz
"$python" gen/storage.py ../testdata/storage.jsonl.gz
