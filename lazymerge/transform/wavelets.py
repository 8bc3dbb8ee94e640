"""Prints wavelets.txt: the reconstruction low-pass filters of PEFT's WaveFT, a wavelet a line.

    python wavelets.py > wavelets.txt

Those whose filter does not fit PEFT's padding are left out: PEFT cannot merge them.
"""

from peft.tuners.waveft import constants, wavelet

for name in wavelet.wavelist():
    low = wavelet.Wavelet(name).rec_lo
    if constants.WAVELET_REDUCTIONS.get(name) == (len(low) - 2, len(low) - 2):
        print(name, *low)
