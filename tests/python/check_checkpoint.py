"""Trains two epochs and reads the checkpoint with the safetensors package, knowing nothing but its documentation.

usage: check_checkpoint.py path/to/quaver
"""
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open

WIDTH, MELS = 4, 8


def train(quaver, folder):
    corpus, run = folder / "corpus", folder / "run"
    subprocess.run([quaver, "corpus", "synth", corpus, "--speakers", "4", "--sentences", "1", "--quiet"], check=True)
    subprocess.run(
        [quaver, "train", "--manifest", corpus / "manifest.csv", "--out", run, "--epochs", "2", "--width", str(WIDTH),
         "--batch", "4", f"--features.mels={MELS}", "--no-cache", "-j", "1", "--quiet"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with open(corpus / "manifest.csv", newline="") as f:
        return run, list(csv.DictReader(f))


def check_metadata(metadata, rows):
    classes, speakers = json.loads(metadata["classes"]), json.loads(metadata["speakers"])
    assert classes == sorted({row["emotion"] for row in rows}), classes
    assert len(speakers) == 3 and set(speakers) < {row["speaker"] for row in rows}, speakers
    assert metadata["format"] == "quaver-checkpoint" and int(metadata["format_version"]) >= 1, metadata
    assert int(metadata["epoch"]) == 2 and int(metadata["step"]) == 2 * 3, metadata
    assert f"width = {WIDTH}" in metadata["settings"].splitlines(), metadata["settings"]
    return classes


def check_tensors(tensors, classes):
    shapes = {
        "stem.conv": (WIDTH, 3, 3, 1),
        "stage1.block0.conv1": (2 * WIDTH, 3, 3, WIDTH),
        "stage2.block0.conv1": (4 * WIDTH, 3, 3, WIDTH),
        "stage3.block0.bn3.running_var": (8 * WIDTH,),
        "linear.weight": (len(classes), 1, 1, 4 * WIDTH),
        "linear.bias": (len(classes),),
        "norm": (2, MELS),
    }
    for name, shape in shapes.items():
        assert tensors[name].shape == shape, (name, tensors[name].shape)
    for name, values in tensors.items():
        assert values.dtype == np.float32 and np.isfinite(values).all(), name
    trained = [name for name in tensors if name + ".moment" in tensors]
    assert "linear.weight" in trained and "linear.weight.moment" not in trained
    assert all(tensors[name].shape == tensors[name + ".moment"].shape for name in trained)
    assert any(tensors[name + ".moment"].any() for name in trained)


def main():
    with tempfile.TemporaryDirectory() as folder:
        run, rows = train(sys.argv[1], Path(folder))
        for name in ("last.safetensors", "best.safetensors"):
            with safe_open(run / name, framework="numpy") as f:
                classes = check_metadata(f.metadata(), rows)
                check_tensors({key: f.get_tensor(key) for key in f.keys()}, classes)


if __name__ == "__main__":
    main()
