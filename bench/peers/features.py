#!/usr/bin/env python3
"""Log-mel frames of ten minutes at 16 kHz by librosa and torchaudio on one thread: the peers of bench_features.

Needs numpy, librosa, torch, torchaudio. --run PROGRAM also runs bench_features in turn with them, ROUNDS times,
and prints the ratios of the medians. Time is the processor's, on both sides.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import librosa  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

torch.version.cuda = None  # torchaudio refuses a PyTorch of another CUDA version; nothing here runs on a GPU
import torchaudio  # noqa: E402

RATE, SECONDS, ROUNDS = 16000, 600, 5


def with_librosa(x):
    mel = librosa.feature.melspectrogram(
        y=x, sr=RATE, n_fft=512, win_length=400, hop_length=160, center=False, power=2.0, n_mels=64, fmin=0, fmax=8000,
        htk=True, norm=None)
    return np.log(np.maximum(mel, 1e-10))


def make_torchaudio():
    torch.set_num_threads(1)
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=RATE, n_fft=512, win_length=400, hop_length=160, f_min=0, f_max=8000, n_mels=64, power=2.0,
        center=False, norm=None, mel_scale="htk")

    @torch.inference_mode()
    def run(x):
        return transform(torch.from_numpy(x)).clamp_(min=1e-10).log_()

    return run


def timed(function, x):
    start = time.process_time()
    function(x)
    return 1e3 * (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", help="path of bench_features")
    program = parser.parse_args().run
    random = np.random.default_rng(1)
    x = (0.3 * ((np.arange(RATE * SECONDS) % 128) / 128 - 0.5) + 0.02 * random.standard_normal(RATE * SECONDS))
    x = x.astype(np.float32)
    peers = {"librosa": with_librosa, "torchaudio": make_torchaudio()}
    times = {name: [] for name in peers}
    ours = []
    for name, function in peers.items():
        function(x)
    for _ in range(ROUNDS):
        for name, function in peers.items():
            times[name].append(timed(function, x))
        if program:
            lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
            ours.append(json.loads(lines[0])["ms_median"])
    for name, t in times.items():
        median = statistics.median(t)
        row = {"bench": "features", "what": name, "ms_min": round(min(t), 2), "ms_median": round(median, 2),
               "x_real_time": round(SECONDS * 1e3 / median)}
        if ours:
            row["quaver_ms_median"] = statistics.median(ours)
            row["ratio"] = round(median / statistics.median(ours), 2)
        print(json.dumps(row))


if __name__ == "__main__":
    main()
