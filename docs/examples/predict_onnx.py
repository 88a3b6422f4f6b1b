#!/usr/bin/env python3
"""The emotion of WAV recordings, by a network that `quaver export` wrote: numpy and onnxruntime alone.

    quaver export --checkpoint runs/emodb/fold-1/best.safetensors --out emotion.onnx
    python predict_onnx.py emotion.onnx recording.wav ...

Prints what `quaver predict` prints. Reads 16-bit PCM at the rate of the training; docs/features.md says in words
what is computed here.
"""
import csv
import json
import sys
import wave

import numpy as np
import onnxruntime


class FrontEnd:
    """Samples to log-mel frames, by the metadata of the model."""

    def __init__(self, metadata):
        def number(key):
            return float(metadata["features." + key])

        self.rate, self.trim, self.floor = int(number("rate")), number("trim"), number("floor")
        self.window, self.hop = (round(number(key) * self.rate) for key in ("window", "hop"))
        self.fft, self.rms = int(number("fft")), metadata["features.loudness"] == "rms"
        self.hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)).astype(np.float32)
        self.triangles = mel_triangles(self.rate, self.fft, int(number("mels")), number("low"), number("high"))

    def __call__(self, samples):
        samples = self.loudness(self.trimmed(samples))
        samples = np.pad(samples, (0, max(0, self.window - len(samples))))
        frames = 1 + (len(samples) - self.window) // self.hop
        at = np.arange(self.window) + self.hop * np.arange(frames)[:, None]
        power = np.abs(np.fft.rfft(samples[at] * self.hann, self.fft)) ** 2
        return np.log(np.maximum(power @ self.triangles.T, self.floor)).astype(np.float32)

    def trimmed(self, samples):
        """Without the edges that are `trim` dB quieter than the loudest frame."""
        if self.trim <= 0:
            return samples
        starts = range(0, len(samples), self.hop)
        level = np.array([np.mean(samples[i : i + self.window] ** 2) for i in starts])
        least = level.max() * 10 ** (-self.trim / 10)
        if least <= 0:
            return samples
        loud = np.flatnonzero(level >= least)
        return samples[loud[0] * self.hop : loud[-1] * self.hop + self.window]

    def loudness(self, samples):
        """Brought to -26 dB of full scale where the training did so."""
        rms = np.sqrt(np.mean(samples**2))
        return samples * (10 ** (-26 / 20) / rms) if self.rms and rms > 0 else samples


def mel_triangles(rate, fft, mels, low, high):
    """[mels][fft / 2 + 1]: triangles of height 1 whose corners lie at equal distances on HTK's mel scale."""
    mel = 2595 * np.log10(1 + np.array([low, high]) / 700)
    corners = 700 * (10 ** (np.linspace(*mel, mels + 2) / 2595) - 1)
    left, top, right = (corners[i : mels + i, None] for i in range(3))
    hz = rate * np.arange(fft // 2 + 1) / fft
    return np.maximum(0, np.minimum((hz - left) / (top - left), (right - hz) / (right - top)))


def windows(frames, size):
    """Every half window from the start, and the one that ends with the recording; shorter ones are repeated."""
    if len(frames) <= size:
        return frames[np.arange(size) % len(frames)][None]
    step = max(1, size // 2)
    last = len(frames) - size
    return np.stack([frames[i : i + size] for i in [*range(0, last, step), last]])


class Model:
    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        self.classes = json.loads(self.metadata["classes"])
        self.size = int(self.metadata["patch.frames"])
        if self.metadata["features.normalize"] == "speaker":
            sys.exit(f"{path} normalizes by speaker: the frames need a voice's own mean and deviation")

    def normalized(self, frames):
        """Corpus normalization is inside the graph; that over the recording is not."""
        if self.metadata["features.normalize"] != "utterance":
            return frames
        return ((frames - frames.mean(0)) / np.maximum(frames.std(0), 1e-3)).astype(np.float32)

    def probabilities(self, frames):
        batch = windows(self.normalized(frames), self.size)
        return self.session.run(["probabilities"], {"log_mel": batch})[0].mean(0)


def read_wav(path, rate):
    with wave.open(path) as f:
        if f.getsampwidth() != 2 or f.getframerate() != rate:
            sys.exit(f"{path}: 16-bit samples at {rate} Hz are needed (sox {path} -b 16 -r {rate} out.wav)")
        samples = np.frombuffer(f.readframes(f.getnframes()), "<i2").reshape(-1, f.getnchannels())
    return samples.mean(1) / 32768


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: predict_onnx.py MODEL.onnx RECORDING.wav ...")
    model = Model(sys.argv[1])
    front_end = FrontEnd(model.metadata)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["file", "predicted", *("p_" + name for name in model.classes)])
    for path in sys.argv[2:]:
        p = model.probabilities(front_end(read_wav(path, front_end.rate)))
        out.writerow([path, model.classes[p.argmax()], *(f"{x:.6f}" for x in p)])


if __name__ == "__main__":
    main()
