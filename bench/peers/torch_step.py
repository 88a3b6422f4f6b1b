"""Times one training step of the same network in PyTorch on the CPU: the peer of bench_step.

Contenders, each in a process of its own, in turn, for a fixed number of rounds; one JSON line for every
contender and round:
  stock          as PyTorch comes: NCHW, memory returned to the system after every step
  channels-last  NHWC, nothing else changed
  tuned          NHWC, memory kept by the allocator, fused optimizer
A contender that ends badly gives a line with its exit status (negative: the signal) under "failed": PyTorch
2.15.0 is known to crash in the backward pass of channels-last convolutions at width 8.
With --beside COMMAND that command runs in every round too (its output is passed through), so that
a comparison is made under the same conditions of the machine:
  python bench/peers/torch_step.py --rounds 5 --beside "build/bench/bench_step"
"""
import argparse
import ctypes
import json
import resource
import shlex
import statistics
import subprocess
import sys
import time

CONTENDERS = ("stock", "channels-last", "tuned")


def keep_memory():
    """glibc takes all blocks from one heap, and never gives it back. Before anything large is allocated."""
    m_trim_threshold, m_top_pad, m_mmap_max, m_arena_max = -1, -2, -4, -8
    libc = ctypes.CDLL(None)
    settings = ((m_mmap_max, 0), (m_trim_threshold, -1), (m_top_pad, 256 << 20), (m_arena_max, 1))
    if not all(libc.mallopt(key, value) for key, value in settings):
        sys.exit("mallopt refused a setting: the contender 'tuned' needs glibc")


def make_optimizer(torch, net, fused):
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True, fused=fused)


def measure(o):
    if o.contender == "tuned":
        keep_memory()
    import torch

    import model

    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    net = model.Network(o.order, o.classes, o.width, o.blocks)
    x = torch.randn(o.batch, 1, o.frames, o.mels)
    if o.contender != "stock":
        net = net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    labels = torch.randint(o.classes, (o.batch,))
    optimizer = make_optimizer(torch, net, o.contender == "tuned")
    criterion = torch.nn.CrossEntropyLoss(torch.ones(o.classes))
    coefficients = (len(net.blocks()), o.batch if o.level == "sample" else 1)
    times, faults = [], []
    for i in range(o.warm_up + o.steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = criterion(net(x, torch.rand(coefficients), torch.rand(coefficients)), labels)
        loss.backward()
        optimizer.step()
        times.append((time.perf_counter() - start) * 1e3)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    times = times[o.warm_up :]
    faults_per_step = (faults[-1] - faults[-1 - o.steps]) / o.steps
    median = statistics.median(times)
    return {
        "bench": "step", "program": f"torch {torch.__version__}", "contender": o.contender, "order": o.order,
        "level": o.level, "width": o.width, "blocks": o.blocks, "batch": o.batch, "frames": o.frames, "mels": o.mels,
        "classes": o.classes, "threads": o.threads, "parameters": model.count(net)[0], "steps": o.steps,
        "median_ms": round(median, 3), "min_ms": round(min(times), 3), "samples_per_s": round(o.batch / median * 1e3, 2),
        "page_faults_per_step": round(faults_per_step), "loss": loss.item(),
    }  # fmt: skip


def run_rounds(o, arguments):
    for index in range(o.rounds):
        if o.beside:
            subprocess.run(shlex.split(o.beside), check=True)
        for contender in o.contenders.split(","):
            child = [sys.executable, __file__, *arguments, "--contender", contender, "--round", str(index)]
            code = subprocess.run(child).returncode
            if code != 0:
                print(json.dumps({"round": index, "bench": "step", "contender": contender, "failed": code}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--order", default="preact-bn", choices=("preact", "preact-bn", "relu", "relu-bn"))
    parser.add_argument("--level", default="sample", choices=("sample", "batch"))
    for name, value in (("width", 32), ("blocks", 2), ("batch", 64), ("frames", 64), ("mels", 64), ("classes", 4),
                        ("threads", 2), ("warm-up", 2), ("steps", 7), ("rounds", 3)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="comma-separated, in the order of running")
    parser.add_argument("--beside", help="another command to run in every round, first")
    parser.add_argument("--contender", choices=CONTENDERS, help="only this one, once, in this process")
    parser.add_argument("--round", type=int, default=0, help="number to print with it")
    o = parser.parse_args()
    unknown = set(o.contenders.split(",")) - set(CONTENDERS)
    if unknown:
        parser.error(f"unknown contender {' '.join(sorted(unknown))}: known are {', '.join(CONTENDERS)}")
    if o.contender:
        print(json.dumps({"round": o.round, **measure(o)}), flush=True)
    else:
        run_rounds(o, sys.argv[1:])


if __name__ == "__main__":
    main()
