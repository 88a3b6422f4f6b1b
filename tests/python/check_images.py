"""A folder of images in CIFAR-10's format is trained on, judged, and exported: onnxruntime says what quaver says.

usage: check_images.py path/to/quaver

The images are noise with a mean for each class; the split is that of the files.
"""
import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

QUAVER = Path(sys.argv[1]).resolve()
CLASSES, EACH = 2, 6


def run(*words, code=0):
    done = subprocess.run([str(QUAVER), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == code, done
    return done.stdout, done.stderr


def make_images(folder):
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        labels = np.arange(EACH, dtype=np.uint8)[:, None] % CLASSES
        pixels = rng.integers(0, 128, (EACH, 3 * 32 * 32), dtype=np.uint8) + 100 * labels
        np.hstack([labels, pixels]).astype(np.uint8).tofile(folder / name)
    (folder / "batches.meta.txt").write_text("dark\nlight\n")


def images_of(path):
    """As the exported network takes them: rows, columns, channels, 0 to 1."""
    records = np.fromfile(path, np.uint8).reshape(EACH, -1)[:, 1:]
    return (records.reshape(EACH, 3, 32, 32).transpose(0, 2, 3, 1) / 255).astype(np.float32)


with tempfile.TemporaryDirectory() as name:
    home = Path(name)
    make_images(home / "images")
    tiny = ["--width", "2", "--batch", "4", "--epochs", "4", "-j", "1", "--no-cache", "--quiet"]
    run("train", "--manifest", home / "images", "--out", home / "run", "--augment.pad=4", "--augment.flip=yes", "--corpus.licence", "CC0 1.0", *tiny)
    config = (home / "run/config.ini").read_text()
    assert "kind = image" in config and "channels = 3" in config and "mels = 96" in config and "frames = 32" in config, config
    checkpoint = home / "run/last.safetensors"
    scores = json.loads(run("eval", "--checkpoint", checkpoint, "--manifest", home / "images", "--speakers", "test", "--json")[0])
    assert scores["n"] == EACH, scores
    table = list(csv.DictReader(io.StringIO(run("predict", "--checkpoint", checkpoint, "--manifest", home / "images")[0])))
    assert len(table) == 6 * EACH, table
    run("export", "--checkpoint", checkpoint, "--out", home / "model.onnx")
    session = onnxruntime.InferenceSession(str(home / "model.onnx"), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about["features.kind"] == "image" and "features.hop" not in about, about
    assert about["training_data.licence"] == "CC0 1.0", about
    assert "- Licence: CC0 1.0\n" in (home / "run/model-card.md").read_text()
    for path in sorted((home / "images").glob("*.bin")):
        found = session.run(["probabilities"], {"image": images_of(path)})[0]
        for i in range(EACH):
            row = next(r for r in table if r["file"] == f"{path.name}[{i}]")
            np.testing.assert_allclose(found[i], [float(row["p_dark"]), float(row["p_light"])], atol=1e-5)
    assert "whole folder" in run("predict", "--checkpoint", checkpoint, home / "images/test_batch.bin", code=2)[1]
    assert "judges images" in run("predict", "--checkpoint", checkpoint, "--timeline", "x.wav", code=2)[1]
    assert "augment.warp" in run("train", "--manifest", home / "images", "--out", home / "no", "--augment.warp=0.1", *tiny, code=2)[1]
    run("corpus", "synth", home / "sound", "--speakers", "2", "--sentences", "1")
    sound = home / "sound/manifest.csv"
    assert "augment.flip" in run("train", "--manifest", sound, "--out", home / "no", "--augment.flip=yes", *tiny, code=2)[1]
    assert "where they were expected" in run("eval", "--checkpoint", checkpoint, "--manifest", sound, "--labels", "anger=dark", code=2)[1]
    print("images: trained, judged, exported")
