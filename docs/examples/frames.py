"""Frames of one's own for quaver: cepstra with their first and second differences, a .npy file a recording.

  python3 docs/examples/frames.py emodb.csv frames
  quaver train --manifest frames/manifest.csv --folds data/folds/emodb.txt --features.hop=0.02 --out runs/frames

Needs numpy, scipy and soundfile. Another program's frames go the same way: two dimensions, frames x values.
"""
import csv
import sys
from pathlib import Path

import numpy as np
import soundfile
from scipy.fft import dct
from scipy.signal import resample_poly

RATE, WINDOW, HOP, FFT, MELS, CEPSTRA = 16000, 400, 320, 512, 40, 20


def mel_filters():
    """[FFT / 2 + 1, MELS] triangles on the HTK scale."""
    corners = 700 * (10 ** (np.linspace(0, np.log10(1 + RATE / 1400), MELS + 2)) - 1)
    hz = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(0, np.minimum((hz - left) / (middle - left), (right - hz) / (right - middle)))


def frames_of(path, filters):
    x, rate = soundfile.read(path, always_2d=True)
    x = resample_poly(x.mean(1), RATE, rate) if rate != RATE else x.mean(1)
    x = np.pad(x, (0, max(0, WINDOW - len(x))))
    cut = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP] * np.hanning(WINDOW)
    cepstra = dct(np.log(np.abs(np.fft.rfft(cut, FFT)) ** 2 @ filters + 1e-10), norm="ortho")[:, :CEPSTRA]
    first = np.gradient(cepstra, axis=0) if len(cepstra) > 1 else 0 * cepstra
    second = np.gradient(first, axis=0) if len(cepstra) > 1 else first
    return np.hstack([cepstra, first, second]).astype(np.float32)


def main(manifest, folder):
    manifest, folder = Path(manifest), Path(folder)
    filters = mel_filters()
    folder.mkdir(parents=True, exist_ok=True)
    with open(manifest, newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    for i, row in enumerate(rows):
        name = f"{i:05d}-{Path(row['file']).stem}.npy"
        np.save(folder / name, frames_of(manifest.parent / row["file"], filters))
        row["file"] = name
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
