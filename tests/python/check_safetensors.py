"""Exchanges a safetensors file with the program test_safetensors, both ways.

usage: check_safetensors.py path/to/test_safetensors

The sample is spelled out here and in tests/test_safetensors.c, so that neither side checks itself.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

SAMPLE = {
    "bytes": np.array([0, 127, 255], np.uint8),
    "ints": np.array([[-(2**31), -1], [0, 2**31 - 1]], np.int32),
    "scalar": np.array(-(2**63), np.int64),
    "floats": np.array([[2.0**-149, -0.0, 1.5], [np.inf, -3e38, 2.0 - 2.0**-23]], np.float32),
    "none": np.zeros((4, 0, 5), np.float64),
    'a "quoted"\nä.name': np.array([2.0**-1074, -np.inf, 2.0 - 2.0**-52]).reshape(1, 1, 3, 1, 1, 1, 1, 1),
}
METADATA = {"text": '{"tab":"\\t"}\nsecond line, ä€🎵', "empty": ""}


def check_written(path):
    with safe_open(path, framework="numpy") as f:
        assert set(f.keys()) == set(SAMPLE), sorted(f.keys())
        assert f.metadata() == METADATA, f.metadata()
        for name, expected in SAMPLE.items():
            found = f.get_tensor(name)
            assert found.dtype == expected.dtype, (name, found.dtype)
            assert found.shape == expected.shape, (name, found.shape)
            assert found.tobytes() == expected.tobytes(), (name, found, expected)


def main():
    program = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.safetensors"), Path(folder, "theirs.safetensors")
        subprocess.run([program, "write", ours], check=True)
        check_written(ours)
        save_file(SAMPLE, theirs, METADATA)
        subprocess.run([program, "check", theirs], check=True)
        # The program's own check must be able to fail: the same file with one bit of data turned over.
        data = bytearray(theirs.read_bytes())
        data[-1] ^= 1
        theirs.write_bytes(data)
        changed = subprocess.run([program, "check", theirs], stderr=subprocess.PIPE, text=True)
        assert changed.returncode == 1 and "differs" in changed.stderr, changed
    print(f"{len(SAMPLE)} tensors and {len(METADATA)} metadata exchanged both ways")


if __name__ == "__main__":
    main()
