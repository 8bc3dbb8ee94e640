"""Writes wavelets.txt: the reconstruction low-pass filters of PEFT's WaveFT, a wavelet a line.

    wavelets.py OUT

Those whose filter does not fit PEFT's padding are left out: PEFT cannot merge them.
"""

import sys
from pathlib import Path

from peft.tuners.waveft import constants, wavelet

lines = []
for name in wavelet.wavelist():
    low = wavelet.Wavelet(name).rec_lo
    if constants.WAVELET_REDUCTIONS.get(name) == (len(low) - 2, len(low) - 2):
        lines.append(" ".join([name, *map(str, low)]))
Path(sys.argv[1]).write_text("\n".join(lines) + "\n")
