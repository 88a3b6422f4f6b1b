#!/usr/bin/env python3
"""Writes the 1797 handwritten digits that scikit-learn carries (8 x 8, UCI optdigits) as IDX files, MNIST's format.

usage: digits_idx.py FOLDER

The first half, as in scikit-learn's own example, is the training part.
"""
import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def write(path, array):
    """An array of bytes of any number of dimensions."""
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes())


if len(sys.argv) != 2:
    sys.exit(__doc__)
folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
digits = load_digits()
pixels, half = np.round(digits.images * (255 / 16)), len(digits.target) // 2
for name, part in (("train", slice(0, half)), ("test", slice(half, None))):
    write(folder / f"{name}-images-idx3-ubyte", pixels[part])
    write(folder / f"{name}-labels-idx1-ubyte", digits.target[part])
print(f"{folder}: {half} training and {len(digits.target) - half} test images")
