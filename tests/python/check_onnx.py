"""Exports networks of every block order and of both presets; onnx.checker passes them and onnxruntime gives the
program's own probabilities. docs/examples/predict_onnx.py gives those of `quaver predict` from the recording on.

usage: check_onnx.py path/to/quaver path/to/test_onnx SOURCE_FOLDER
"""
import csv
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import load_file

QUAVER, PROGRAM, SOURCE = (Path(arg).resolve() for arg in sys.argv[1:4])
SMALL = ["--width", "8", "--features.mels=40", "--epochs", "2"]
CASES = {
    "preact": ["--order", "preact", *SMALL],
    "preact-bn": ["--order", "preact-bn", *SMALL],
    "relu": ["--order", "relu", *SMALL],
    "relu-bn": ["--order", "relu-bn", *SMALL],
    "groups": ["--order", "preact-bn", "--groups", "4", *SMALL],
    "groups without a norm before the shake": ["--order", "preact", "--groups", "2", *SMALL],
    "shifted shortcut": ["--order", "preact", "--shortcut", "shift", *SMALL],
    "shifted shortcut, odd patch": ["--order", "relu-bn", "--shortcut", "shift", "--patch.seconds=0.54", *SMALL],
    "two blocks, odd patch": ["--order", "relu-bn", "--blocks", "2", "--patch.seconds=0.54", *SMALL],
    "utterance": ["--normalize", "utterance", "--loudness", "rms", *SMALL],
    "no normalization": ["--normalize", "none", "--features.trim=0", *SMALL],
    "embedding": ["--net.embed=3", *SMALL],
    "embedding, center": ["--net.embed=3", "--train.head=center", *SMALL],
    "embedding, a-softmax": ["--net.embed=3", "--train.head=a-softmax", *SMALL],
    "embedding, cosface": ["--net.embed=3", "--train.head=cosface", *SMALL],
    "arcface": ["--train.head=arcface", *SMALL],
    "preset small": ["--preset", "small", "--epochs", "2"],
    "preset reference": ["--preset", "reference", "--epochs", "1"],
}
# The contract of the export; two printed probabilities may be off by half a unit of the sixth digit each besides.
TOLERANCE = 1e-5


def example():
    spec = importlib.util.spec_from_file_location("predict_onnx", SOURCE / "docs/examples/predict_onnx.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words):
    return subprocess.run([str(w) for w in words], check=True, stdout=subprocess.PIPE, text=True).stdout


def recordings(corpus):
    """Made ones, and real ones where there are any."""
    real = Path(os.environ.get("QV_CORPORA", SOURCE.parent / "shared/corpora")) / "emodb/wav"
    found = sorted(real.glob("*.wav"))[:60:10]
    if not found:
        print(f"SKIPPED: no real recordings in {real}", file=sys.stderr)
    return [str(p) for p in sorted(corpus.glob("wav/*.wav"))[::3] + found]


def check_metadata(model, case):
    graph = onnx.load(model)
    onnx.checker.check_model(graph, full_check=True)
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    outputs = {o.name: o.type.tensor_type.shape.dim[1].dim_value for o in graph.graph.output}
    assert outputs.get("embedding") == (3 if "embedding" in case else None), (case, outputs)
    metadata = {p.key: p.value for p in graph.metadata_props}
    assert json.loads(metadata["classes"]) == ["anger", "happiness", "neutral", "sadness"], metadata
    kinds = [node.op_type for node in graph.graph.node]
    # What remains outside convolutions: bn1 of the blocks and the last one in preact, the last one in relu, none in relu-bn.
    if case in ("relu", "relu-bn", "preact"):
        products = sum(k == "Mul" for k in kinds) - 3 - 1  # less the blocks' halves and the input's normalization
        assert products == {"relu": 1, "relu-bn": 0, "preact": 4}[case], (case, kinds)


def check_network(model, checkpoint, wavs, folder):
    dump = folder / "features.safetensors"
    run(PROGRAM, "features", checkpoint, dump, *wavs)
    tensors = load_file(dump)
    ours = np.array([model.probabilities(tensors[str(i)]) for i in range(len(wavs))])
    assert np.ptp(ours, axis=0).max() > 1e-3, "all recordings alike: nothing would be tested"
    return np.abs(ours - tensors["probabilities"]).max()


def check_example(module, path, checkpoint, wavs):
    told = run(sys.executable, module.__file__, path, *wavs)
    wanted = run(QUAVER, "predict", "--quiet", "--checkpoint", checkpoint, *wavs)
    told, wanted = (list(csv.reader(text.splitlines())) for text in (told, wanted))
    assert told[0] == wanted[0] and len(told) == len(wanted) == len(wavs) + 1, (told[0], wanted[0])
    assert [row[0] for row in told] == [row[0] for row in wanted]
    return max(abs(float(a) - float(b)) for x, y in zip(told[1:], wanted[1:]) for a, b in zip(x[2:], y[2:]))


def main():
    module = example()
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run(QUAVER, "corpus", "synth", folder / "corpus", "--speakers", "4", "--sentences", "2", "--quiet")
        wavs = recordings(folder / "corpus")
        for number, (case, words) in enumerate(CASES.items()):
            out, path = folder / str(number), folder / f"{number}.onnx"
            run(QUAVER, "train", "--manifest", folder / "corpus/manifest.csv", "--out", out, "--batch", "8", "--no-cache",
                "--quiet", *words)  # fmt: skip
            checkpoint = out / "best.safetensors"
            run(QUAVER, "export", "--checkpoint", checkpoint, "--out", path)
            check_metadata(path, case)
            network = check_network(module.Model(str(path)), checkpoint, wavs, folder)
            whole = check_example(module, path, checkpoint, wavs)
            print(f"{case}: network {network:.1e}, from the recording on {whole:.1e}")
            assert network <= TOLERANCE, case
            assert whole <= TOLERANCE + 1e-6, case
            worst = max(worst, network)
    print(f"{len(CASES)} networks, {len(wavs)} recordings, largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
