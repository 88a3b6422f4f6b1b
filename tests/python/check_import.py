"""The fixtures' network, as PyTorch would save its state dict, becomes a checkpoint that gives PyTorch's own logits.

usage: check_import.py path/to/quaver SOURCE_FOLDER

The logits are those of tests/fixtures/net (float64, by PyTorch); the checkpoint is run through its ONNX export.
"""
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save_file

QUAVER, SOURCE = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
FIXTURES = SOURCE / "tests/fixtures/net"
WIDTH, FRAMES, MELS, CLASSES = 8, 13, 11, "abcde"
SETTINGS = f"""[features]
mels = {MELS}
normalize = none
[patch]
seconds = {FRAMES * 0.02:.2f}
[net]
order = ORDER
width = {WIDTH}
"""


def theirs(name):
    """A name as a PyTorch module might have it."""
    return "net." + name.replace("gamma", "weight").replace("beta", "bias") + (".weight" if name.endswith("conv") or "conv" in name.split(".")[-1] else "")  # fmt: skip


def state_dict(order):
    """PyTorch's tensors, and the map's lines."""
    common, step = load_file(FIXTURES / "common.safetensors"), load_file(FIXTURES / f"{order}_even.safetensors")
    used = {key[len("f64/grad/") :] for key in step if key.startswith("f64/grad/")} - {"input"}
    tensors = {name: common["param/" + name] for name in used}
    tensors |= {k[len("f64/running/") :]: v.astype(np.float32) for k, v in step.items() if k.startswith("f64/running/")}
    state, lines = {}, {}
    for name in sorted(tensors):
        value = tensors[name]
        if value.ndim == 4 and name != "linear.weight":
            value = np.ascontiguousarray(value.transpose(0, 3, 1, 2))
        state[theirs(name)] = value.reshape(len(value), -1) if name == "linear.weight" else value
        ours = name.replace("branch1.", "").replace("branch2.", "")
        if "branch2." in name and ".bn1.running" in name:
            continue  # both branches see the same x: held once
        lines.setdefault(ours, []).append(theirs(name))
    state["net.final.bn.num_batches_tracked"] = np.array(1, np.int64)
    return state, "# ours = theirs\n" + "".join(f"{k} = {' + '.join(v)}\n" for k, v in lines.items()), common, step


def run(*words, code=0):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == code, done
    return done.stderr


def check_order(order, folder):
    state, lines, common, step = state_dict(order)
    paths = {name: folder / f"{order}.{name}" for name in ("torch", "map", "ini", "checkpoint", "onnx")}
    save_file(state, paths["torch"])
    paths["map"].write_text(lines)
    paths["ini"].write_text(SETTINGS.replace("ORDER", order))
    words = [QUAVER, "import-checkpoint", "--weights", paths["torch"], "--map", paths["map"], "--config", paths["ini"],
             "--classes", ",".join(CLASSES), "--out", paths["checkpoint"]]  # fmt: skip
    told = run(*words)
    unused = [key for key in state if ".branch2.bn1.running" in key]
    assert bool(unused) == ("were not used" in told), (unused, told)
    run(QUAVER, "export", "--checkpoint", paths["checkpoint"], "--out", paths["onnx"])
    session = onnxruntime.InferenceSession(str(paths["onnx"]), providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"log_mel": common["input"][..., 0].astype(np.float32)})[0]
    wanted = step["f64/eval/logits"].reshape(found.shape)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    # What PyTorch's own float32 shows on this fixture when every weight moves by an ulp, three times at most.
    bound = 3 * float(step["ulp/eval/logits"])
    assert error <= bound, (order, error, bound)
    print(f"{order}: logits differ by {error:.1e}, {bound:.1e} allowed")
    return words, paths, lines, state


def check_shift(folder):
    """A network with the shifted shortcut, taken apart as PyTorch would hold it and put together again, says the same."""
    run(QUAVER, "corpus", "synth", folder / "sound", "--speakers", "2", "--sentences", "2")
    manifest, out = folder / "sound/manifest.csv", folder / "shift"
    run(QUAVER, "train", "--manifest", manifest, "--out", out, "--net.shortcut=shift", "--features.normalize=none", "--features.mels=8",
        "--patch.seconds=0.16", "--width", "2", "--batch", "4", "--epochs", "2", "-j", "1", "--no-cache", "--quiet")  # fmt: skip
    ours = {k: v for k, v in load_file(out / "last.safetensors").items() if not k.endswith(".moment")}
    assert any(".shortcut." in name for name in ours), sorted(ours)
    state = {k: np.ascontiguousarray(v.transpose(0, 3, 1, 2)) if v.ndim == 4 else v for k, v in ours.items()}
    save_file(state, folder / "shift.torch")
    with open(manifest, newline="") as f:
        classes = sorted({row["emotion"] for row in csv.DictReader(f)})
    run(QUAVER, "import-checkpoint", "--weights", folder / "shift.torch", "--config", out / "config.ini", "--classes", ",".join(classes),
        "--out", folder / "again.safetensors")  # fmt: skip
    for checkpoint in (out / "last.safetensors", folder / "again.safetensors"):
        run(QUAVER, "predict", "--checkpoint", checkpoint, folder / "sound", "--out", checkpoint.with_suffix(".csv"))
    first, second = ((p.with_suffix(".csv")).read_text() for p in (out / "last.safetensors", folder / "again.safetensors"))
    assert first == second and first.count("\n") > 8, (first, second)
    print("a shifted shortcut: the same predictions after import")


def check_refusals(words, paths, lines, state):
    paths["map"].write_text(lines + "stem.cnov = x\n")
    assert "no tensor stem.cnov" in run(*words, code=1)
    paths["map"].write_text(lines.replace("stem.conv =", "stem.conv\n#"))
    assert "expected" in run(*words, code=1)
    paths["map"].write_text(lines.replace("linear.bias = net.linear.bias", "linear.bias = net.nothing"))
    assert 'no tensor "net.nothing", wanted for linear.bias' in run(*words, code=1)
    paths["map"].write_text(lines.replace("linear.bias = net.linear.bias", "linear.bias = net.linear.weight"))
    assert "another shape" in run(*words, code=1)
    paths["map"].write_text(lines)
    save_file(state | {"net.linear.bias": np.full(len(CLASSES), np.nan, np.float32)}, paths["torch"])
    assert "finite" in run(*words, code=1)


def main():
    with tempfile.TemporaryDirectory() as folder:
        for order in ("preact", "preact-bn", "relu", "relu-bn"):
            last = check_order(order, Path(folder))
        check_refusals(*last)
        check_shift(Path(folder))


if __name__ == "__main__":
    main()
