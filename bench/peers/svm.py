"""The classical way, to compare with: functionals of log-mel frames and cepstra, and a support vector machine.

  python bench/peers/svm.py --manifest emodb.csv --folds data/folds/emodb.txt --normalize corpus speaker

Same front end, folds, normalization and pooling as the program's. Kernel and C are chosen by cross-validation
over groups of the training speakers of each fold; the test speakers are looked at once. With `speaker`
normalization the unlabelled recordings of a test speaker are used (transductive), as the program does.
One JSON line for each normalization.
"""
import argparse
import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.fft import dct
from sklearn.svm import SVC

RATE, WINDOW, HOP, FFT, MELS, FLOOR, TRIM_DB = 16000, 400, 320, 512, 64, 1e-10, 40.0
LOUDNESS_RMS = 10 ** (-26 / 20)
CEPSTRA = 20
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
CHOICES = [(kernel, c) for kernel in ("linear", "rbf") for c in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)]
INNER_FOLDS = 4


# ---- recordings to vectors ----


def mel_filters():
    """[FFT / 2 + 1, MELS] triangles on the HTK scale from 0 to 8000 Hz, height 1."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    hz = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(0, np.minimum((hz - left) / (middle - left), (right - hz) / (right - middle)))


def read_audio(path, start, end):
    x, rate = soundfile.read(path, dtype="float64", always_2d=True)
    x = x.mean(1)[int(start * rate) : int(end * rate) if end is not None else None]
    return x if rate == RATE else soxr.resample(x, rate, RATE)


def trim(x):
    """Without the frames at both ends that are quieter than TRIM_DB under the loudest one."""
    starts = np.arange(0, len(x), HOP)
    level = np.array([np.mean(x[s : s + WINDOW] ** 2) for s in starts])
    loud = np.flatnonzero(level >= level.max() * 10 ** (-TRIM_DB / 10))
    return x[starts[loud[0]] : starts[loud[-1]] + WINDOW]


def log_mels(x, filters):
    x = np.pad(x, (0, max(0, WINDOW - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * window, FFT)) ** 2
    return np.log(np.maximum(power @ filters, FLOOR))


def functionals(contours):
    """[frames, contours] -> one vector: level, spread, extremes, quantiles, slope over time, liveliness."""
    t = (np.arange(len(contours)) - (len(contours) - 1) / 2) * HOP / RATE
    slope = t @ contours / max(float(t @ t), 1e-12)
    steps = np.abs(np.diff(contours, axis=0)).mean(0) if len(contours) > 1 else np.zeros(contours.shape[1])
    spread = [contours.mean(0), contours.std(0), contours.min(0), contours.max(0), slope, steps]
    return np.concatenate([*spread, *np.quantile(contours, QUANTILES, axis=0)])


def vector(row, loudness, filters):
    x = trim(read_audio(row["path"], row["start"], row["end"]))
    if loudness == "rms":
        x = x * (LOUDNESS_RMS / np.sqrt(np.mean(x**2)))
    mels = log_mels(x, filters)
    return functionals(np.hstack([mels, dct(mels, norm="ortho")[:, :CEPSTRA]]))


# ---- manifest and folds ----


def parse_labels(text):
    """'anger,joy=happiness' -> {'anger': 'anger', 'joy': 'happiness'}; None: every emotion as it is."""
    if text is None:
        return None
    return {part.split("=")[0]: part.split("=")[-1] for part in text.split(",")}


def read_manifest(path, labels):
    rows = []
    with open(path, encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            emotion = row["emotion"] if labels is None else labels.get(row["emotion"])
            if emotion is None:
                continue
            rows.append({"path": path.parent / row["file"], "speaker": row["speaker"], "emotion": emotion,
                         "start": float(row.get("start") or 0),
                         "end": float(row["end"]) if row.get("end") else None})  # fmt: skip
    if not rows:
        sys.exit(f"{path}: no recording of the emotions asked for")
    return rows


def read_folds(path, speakers):
    """Fold of every speaker. Lines 'name: speaker speaker ...', '#' begins a comment."""
    fold = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, colon, members = line.partition(":")
        for speaker in members.split():
            if not colon or speaker in fold:
                sys.exit(f"{path}:{number}: not 'name: speaker ...', or speaker {speaker} stands twice")
            fold[speaker] = name.strip()
    missing = sorted(set(speakers) - set(fold))
    if missing:
        sys.exit(f"{path}: no fold for speaker {' '.join(missing)}")
    return fold


# ---- classification ----


def recall(truth, found):
    """Unweighted accuracy: mean over the classes present of the part found."""
    return float(np.mean([np.mean(found[truth == c] == c) for c in np.unique(truth)]))


def by_speaker(x, speakers):
    out = np.empty_like(x)
    for s in np.unique(speakers):
        rows = speakers == s
        out[rows] = (x[rows] - x[rows].mean(0)) / np.maximum(x[rows].std(0), 1e-9)
    return out


def grams(x, test):
    """Kernel matrices of the training rows with themselves, and of the test rows with them."""
    mean, std = x.mean(0), np.maximum(x.std(0), 1e-9)
    a, b = (x - mean) / std, (test - mean) / std
    size = x.shape[1]
    products = {"train": a @ a.T / size, "test": b @ a.T / size}
    square_a, square_b = (a * a).sum(1) / size, (b * b).sum(1) / size
    return {
        "linear": (products["train"], products["test"]),
        "rbf": (np.exp(-(square_a[:, None] + square_a - 2 * products["train"])),
                np.exp(-(square_b[:, None] + square_a - 2 * products["test"]))),
    }  # fmt: skip


def classify(kernels, choice, labels):
    kernel, c = choice
    machine = SVC(C=c, kernel="precomputed", class_weight="balanced", cache_size=500)
    machine.fit(kernels[kernel][0], labels)
    return machine.predict(kernels[kernel][1])


def choose(x, labels, speakers):
    """The kernel and C with the best pooled accuracy over groups of the training speakers."""
    names = np.unique(speakers)
    group = {s: i % min(INNER_FOLDS, len(names)) for i, s in enumerate(names)}
    groups = np.array([group[s] for s in speakers])
    found = {choice: np.empty_like(labels) for choice in CHOICES}
    for g in range(groups.max() + 1):
        kernels = grams(x[groups != g], x[groups == g])
        for choice in CHOICES:
            found[choice][groups == g] = classify(kernels, choice, labels[groups != g])
    scores = {choice: recall(labels, found[choice]) for choice in CHOICES}
    best = max(CHOICES, key=lambda choice: scores[choice])
    return best, scores[best]


def evaluate(x, labels, speakers, folds):
    """Predictions for all recordings, each from the fold that holds its speaker out, and what was chosen."""
    found, chosen = np.empty_like(labels), {}
    for name in sorted(set(folds)):
        train, test = folds != name, folds == name
        choice, score = choose(x[train], labels[train], speakers[train])
        found[test] = classify(grams(x[train], x[test]), choice, labels[train])
        chosen[name] = {"kernel": choice[0], "C": choice[1], "inner_ua": round(score, 4),
                        "ua": round(recall(labels[test], found[test]), 4)}  # fmt: skip
    return found, chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--folds", type=Path, required=True, help="lines 'name: speaker speaker ...'")
    parser.add_argument("--labels", help="as the program's: anger,joy=happiness selects and merges")
    parser.add_argument("--normalize", nargs="+", default=["corpus"], choices=("corpus", "speaker"))
    parser.add_argument("--loudness", default="none", choices=("none", "rms"))
    parser.add_argument("--only", help="also the accuracy over these speakers alone: 13,14,15")
    o = parser.parse_args()
    rows = read_manifest(o.manifest, parse_labels(o.labels))
    fold_of = read_folds(o.folds, {row["speaker"] for row in rows})
    filters = mel_filters()
    vectors = np.array([vector(row, o.loudness, filters) for row in rows])
    classes, labels = np.unique([row["emotion"] for row in rows], return_inverse=True)
    speakers = np.array([row["speaker"] for row in rows])
    folds = np.array([fold_of[s] for s in speakers])
    for normalize in o.normalize:
        x = by_speaker(vectors, speakers) if normalize == "speaker" else vectors
        found, chosen = evaluate(x, labels, speakers, folds)
        result = {"peer": "svm", "manifest": o.manifest.name, "recordings": len(rows), "classes": classes.tolist(),
                  "normalize": normalize, "loudness": o.loudness, "ua": round(recall(labels, found), 4),
                  "wa": round(float(np.mean(labels == found)), 4), "folds": chosen}  # fmt: skip
        if o.only:
            part = np.isin(speakers, o.only.split(","))
            result["ua_only"] = round(recall(labels[part], found[part]), 4)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
