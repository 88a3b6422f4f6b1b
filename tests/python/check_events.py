"""Trains, is interrupted in between and resumed, and reads the curves with TensorBoard's own reader.

usage: check_events.py path/to/quaver
"""
import csv
import math
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

QUAVER = sys.argv[1]
COLUMNS = {"loss": "loss", "learning_rate": "lr", "UA/train": "train_ua", "UA/test": "test_ua", "gap/test": "gap_test"}


def train(folder, *words):
    command = [QUAVER, "train", "--out", folder / "run", "--eval.every=20", "-j", "1", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([QUAVER, "corpus", "synth", folder / "c", "--speakers", "4", "--sentences", "1", "--quiet"], check=True)
        process = train(folder, "--manifest", folder / "c/manifest.csv", "--epochs", "60", "--width", "16", "--batch", "4",
                        "--features.mels=8", "--no-cache")  # fmt: skip
        while not list(folder.glob("run/results.csv")) or "20," not in (folder / "run/results.csv").read_text():
            assert process.poll() is None, "the training ended too early"
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130, process.returncode
        assert train(folder, "--resume", "--no-cache").wait() == 0
        assert len(list(folder.glob("run/events.out.tfevents.*"))) == 2
        events = EventAccumulator(str(folder / "run"), size_guidance={"scalars": 0}).Reload()
        with open(folder / "run/results.csv", newline="") as f:
            rows = list(csv.DictReader(f))
        assert len(rows) == 60
        for tag, column in COLUMNS.items():
            wanted = [(int(r["step"]), float(r[column])) for r in rows if r[column]]
            found = [(e.step, e.value) for e in events.Scalars(tag)]
            assert [s for s, _ in found] == [s for s, _ in wanted], (tag, found, wanted)
            # The file holds float32; results.csv rounds gaps, and nothing else, to the points it prints.
            assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for (_, a), (_, b) in zip(found, wanted)), tag
        print(f"{len(COLUMNS)} curves of {len(rows)} epochs read back, over an interruption")


if __name__ == "__main__":
    main()
