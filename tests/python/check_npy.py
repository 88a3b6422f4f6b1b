"""Frames that numpy has computed and saved are trained on, judged and exported.

usage: check_npy.py path/to/quaver

The recordings are those of the embedded corpus; a frame is the logarithm of 20 sums of a spectrum.
"""
import csv
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import onnxruntime

QUAVER = Path(sys.argv[1]).resolve()
HOP, SIZE, VALUES, PATCH = 0.01, 400, 20, 24
TYPES = ("<f4", "<f8", "<f2")
TINY = ["--width", "2", "--batch", "4", "--epochs", "2", "--eval.every", "2", "-j", "1", "--no-cache", "--quiet"]


def run(*words, code=0):
    done = subprocess.run([str(QUAVER), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def frames_of(path):
    with wave.open(str(path)) as w:
        x = np.frombuffer(w.readframes(w.getnframes()), "<i2") / 32768
        hop = int(HOP * w.getframerate())
    cut = np.lib.stride_tricks.sliding_window_view(x, SIZE)[::hop]
    power = np.abs(np.fft.rfft(cut * np.hanning(SIZE)))[:, 1:] ** 2
    return np.log(power.reshape(len(cut), VALUES, -1).sum(2) + 1e-6)


def make_corpus(folder):
    """The manifest of the frames; every third file has another type of number."""
    run("corpus", "synth", folder / "sound", "--speakers", "3", "--sentences", "3")
    (folder / "frames").mkdir()
    with open(folder / "sound/manifest.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    for i, row in enumerate(rows):
        name = Path(row["file"]).stem + ".npy"
        np.save(folder / "frames" / name, frames_of(folder / "sound" / row["file"]).astype(TYPES[i % 3]))
        row["file"] = name
    manifest = folder / "frames/list.csv"
    with open(manifest, "w", newline="") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return manifest, rows


def check_training(folder, manifest):
    """Folds, evaluation and resume know what the files said."""
    words = ["train", "--manifest", manifest, "--out", folder / "run", "--folds", "speaker", f"--features.hop={HOP}", f"--patch.frames={PATCH}", *TINY]
    run(*words)
    config = (folder / "run/config.ini").read_text()
    assert "kind = npy" in config and f"mels = {VALUES}" in config, config
    run("train", "--resume", "--out", folder / "run", "--quiet")
    checkpoint = next((folder / "run").glob("fold-*/last.safetensors"))
    told = run("eval", "--checkpoint", checkpoint, "--manifest", manifest, "--no-cache")
    assert "confusion" in told, told
    return checkpoint


def predicted(checkpoint, *inputs):
    lines = run("predict", "--checkpoint", checkpoint, *inputs, "--json").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def check_prediction(checkpoint, manifest, folder):
    """A folder gives its .npy files alone; the exported network says the same of the frames themselves."""
    (manifest.parent / "note.txt").write_text("not a file of frames\n")
    answers = predicted(checkpoint, manifest.parent)
    assert len(answers) == len(list(manifest.parent.glob("*.npy"))), answers
    onnx = folder / "model.onnx"
    run("export", "--checkpoint", checkpoint, "--out", onnx)
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about["features.kind"] == "npy" and float(about["features.hop"]) == HOP and about["features.mels"] == str(VALUES), about
    assert "features.rate" not in about and "features.loudness" not in about, about
    classes = json.loads(about["classes"])
    for answer in answers:
        x = np.load(answer["file"]).astype(np.float32)
        starts = sorted({*range(0, len(x) - PATCH, PATCH // 2), len(x) - PATCH})
        windows = np.stack([x[s : s + PATCH] for s in starts])
        found = session.run(["probabilities"], {"frames": windows})[0].mean(0)
        wanted = [answer["probabilities"][c] for c in classes]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def check_speakers(folder, manifest, rows):
    """Statistics of a speaker taken from frames stand for those that prediction takes itself."""
    out = folder / "speakers"
    run("train", "--manifest", manifest, "--out", out, "--normalize", "speaker", f"--features.hop={HOP}", f"--patch.frames={PATCH}", *TINY)
    checkpoint, name = out / "last.safetensors", rows[0]["speaker"]
    files = [manifest.parent / row["file"] for row in rows if row["speaker"] == name]
    run("stats", "--checkpoint", checkpoint, "--speaker", name, "--out", folder / "voice.stats", *files)
    with_stats = predicted(checkpoint, "--speaker-stats", folder / "voice.stats", *files)
    together = predicted(checkpoint, "--speaker", name, *files)
    assert len(with_stats) == len(files)
    for a, b in zip(with_stats, together):
        assert a["file"] == b["file"], (a, b)
        for kind, p in a["probabilities"].items():
            assert abs(p - b["probabilities"][kind]) < 1e-6, (a, b)


def check_study(folder, manifest):
    text = f"""[study]
seeds = 1
baseline = even
claim = shaken
[corpus frames]
manifest = {manifest}
folds = speaker
[settings]
features.hop = {HOP}
patch.frames = {PATCH}
net.width = 2
train.batch = 4
train.epochs = 1
[axis shake]
even = shake.forward=even, shake.backward=even
shaken = shake.forward=shake, shake.backward=shake
[compare shaken]
difference = shaken - even
"""
    (folder / "study.ini").write_text(text)
    run("study", folder / "study.ini", "--out", folder / "study", "--no-cache", "--threads", "1")
    assert (folder / "study/report.html").stat().st_size > 1000


def check_refusals(folder, checkpoint, manifest, rows):
    first = manifest.parent / rows[0]["file"]
    sound = folder / "sound/manifest.csv"
    wav = next((folder / "sound").glob("**/*.wav"))
    assert "no NPY file" in run("predict", "--checkpoint", checkpoint, wav, code=1)
    assert "judges frames" in run("predict", "--checkpoint", checkpoint, "--timeline", wav, code=2)
    run("train", "--manifest", sound, "--out", folder / "sound-run", "--features.mels=8", "--patch.seconds=0.16", *TINY)
    on_sound = next((folder / "sound-run").glob("last.safetensors"))
    assert "holds frames (NPY), not sound" in run("predict", "--checkpoint", on_sound, first, code=1)
    for words, says in (("--augment.warp=0.1", "augment.warp"), ("--augment.gain=3", "augment.gain")):
        assert says in run("train", "--manifest", manifest, "--out", folder / "no", words, *TINY, code=2)
    x = np.load(first)
    np.save(first, x[:, 1:])
    assert "frames of 20 values where 19 were expected" in run("train", "--manifest", manifest, "--out", folder / "no", *TINY, code=2)
    x[7, 3] = np.nan
    np.save(first, x)
    assert "frame 7, value 3 (counted from 0) is nan" in run("predict", "--checkpoint", checkpoint, first, code=1)


with tempfile.TemporaryDirectory() as name:
    home = Path(name)
    listed, table = make_corpus(home)
    trained = check_training(home, listed)
    check_prediction(trained, listed, home)
    check_speakers(home, listed, table)
    check_study(home, listed)
    check_refusals(home, trained, listed, table)
    print("frames from numpy: trained, judged, exported")
