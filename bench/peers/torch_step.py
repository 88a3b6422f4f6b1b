"""Times training steps of the same network in PyTorch: the peer of bench_step.

Contenders, each in a process of its own, in turn, for a fixed number of rounds; one JSON line for every
contender and round. On the CPU:
  stock          as PyTorch comes: NCHW, memory returned to the system after every step
  channels-last  NHWC, nothing else changed
  tuned          NHWC, memory kept by the allocator, fused optimizer
  compile        tuned, torch.compile
On a GPU (--device cuda):
  eager                as PyTorch comes: NCHW, an op a launch, the optimizer that it takes by itself
  channels-last        NHWC, fused optimizer
  graph                eager, the whole step captured in one CUDA graph
  graph-channels-last  the same of channels-last
  compile              channels-last, torch.compile, mode reduce-overhead (its own CUDA graphs), fused optimizer
  compile-max          the same, mode max-autotune
  compile-graph        channels-last, torch.compile, the whole step with its optimizer captured in one CUDA graph
What is compiled is one graph: a contender whose forward pass would fall apart (a graph break) fails instead.
in a precision (--precision):
  fp32           no TF32 anywhere
  tf32           TF32 in convolutions and products
  bf16           autocast: convolutions in bfloat16, what PyTorch chooses for the rest
  bf16-stored    activations and their gradients stored in bfloat16 throughout, weights, statistics, loss and
                 optimizer in float: what bf16 means in Quaver
Coefficients are drawn for each sample and block anew in every step, as Quaver draws them; the batch is always the same
one and already where it is needed, while Quaver cuts each batch from its features within the step.

Each of the --steps timings is of --inner steps without a pause; on a GPU of as many times --inner as make all of them
together take --seconds (1), after a warm-up of half as long: one that was idle raises its clocks meanwhile.

A contender that ends badly gives a line with its exit status (negative: the signal) under "failed": PyTorch
2.15.0 is known to crash in the backward pass of channels-last convolutions at width 8 on the CPU.
With --beside COMMAND that command runs in every round too (its output is passed through), so that
a comparison is made under the same conditions of the machine:
  python bench/peers/torch_step.py --rounds 5 --beside "build/bench/bench_step"
  python bench/peers/torch_step.py --device cuda --precision bf16-stored --batch 64 --rounds 3 \\
      --beside "build/bench/bench_step --device cuda --precision bf16 --batch 64"
"""
import argparse
import collections
import ctypes
import json
import math
import resource
import shlex
import statistics
import subprocess
import sys
import time

CONTENDERS = {
    "cpu": ("stock", "channels-last", "tuned", "compile"),
    "cuda": ("eager", "channels-last", "graph", "graph-channels-last", "compile", "compile-max", "compile-graph"),
}
PRECISIONS = ("fp32", "tf32", "bf16", "bf16-stored")
COMPILE_MODES = {"compile": "reduce-overhead", "compile-max": "max-autotune", "compile-graph": "default"}


def keep_memory():
    """glibc takes all blocks from one heap, and never gives it back. Before anything large is allocated."""
    m_trim_threshold, m_top_pad, m_mmap_max, m_arena_max = -1, -2, -4, -8
    libc = ctypes.CDLL(None)
    settings = ((m_mmap_max, 0), (m_trim_threshold, -1), (m_top_pad, 256 << 20), (m_arena_max, 1))
    if not all(libc.mallopt(key, value) for key, value in settings):
        sys.exit("mallopt refused a setting: the contender 'tuned' needs glibc")


def sgd(torch, parameters, fused):
    """fused: PyTorch takes the loop over tensors where it is told not to fuse, so what it does by itself is None."""
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True, fused=True if fused else None)


def optimizer_name(o, torch):
    """Which of its implementations PyTorch runs, from the names of its calls."""
    p = torch.nn.Parameter(torch.ones(8, device=o.device))
    p.grad = torch.ones_like(p)
    optimizer = sgd(torch, [p], is_fused(o))
    with torch.autograd.profiler.profile() as seen:
        optimizer.step()
    names = " ".join(event.name for event in seen.function_events)
    return "fused" if "_fused_" in names else "foreach" if "_foreach_" in names else "for-loop"


def is_fused(o):
    return o.contender not in ("stock", "eager", "graph") and not (o.device == "cpu" and o.contender == "channels-last")


def make_optimizer(torch, net, fused):
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    return sgd(torch, groups, fused)


def store_in_bf16(torch, net):
    """Weights stay floats and are rounded where a convolution reads them; the head computes in float."""
    functional = torch.nn.functional

    def conv_forward(layer):
        return lambda x: functional.conv2d(x, layer.weight.to(x.dtype), None, layer.stride, layer.padding)

    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.forward = conv_forward(layer)
    linear = net.linear
    linear.forward = lambda x: functional.linear(x.float(), linear.weight, linear.bias)


def casting(o, torch):
    """What bf16 means for the forward pass. Made where it is entered, which torch.compile wants."""
    return torch.autocast(o.device, torch.bfloat16, enabled=o.precision == "bf16")


def make_step(o, torch, net, x, labels):
    """A function that does one training step and returns its loss."""
    optimizer = make_optimizer(torch, net, is_fused(o))
    criterion = torch.nn.CrossEntropyLoss(torch.ones(o.classes, device=o.device))
    shape = (len(net.blocks()), o.batch if o.level == "sample" else 1)
    stored = torch.bfloat16 if o.precision == "bf16-stored" else torch.float32

    def loss_of(x, alpha, beta):
        with casting(o, torch):
            return criterion(net(x, alpha, beta).float(), labels)

    if o.contender in COMPILE_MODES:
        loss_of = torch.compile(loss_of, mode=COMPILE_MODES[o.contender], fullgraph=True)

    def step():
        optimizer.zero_grad()
        alpha, beta = (torch.rand(shape, device=o.device).to(stored) for _ in range(2))
        loss = loss_of(x, alpha, beta)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def captured(torch, net, step):
    """The step as one CUDA graph. Random numbers are drawn anew at each replay.

    Gradients are absent when the capture begins, so that the backward pass writes them in the graph's own memory
    (PyTorch's notes on CUDA graphs)."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    net.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss

    return replay


def prepare(o, torch):
    """The step to be timed, the network that it trains, and its batch. Sets PyTorch up as the contender wants it."""
    import model

    if o.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this PyTorch finds no CUDA device")
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    if o.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = o.precision == "tf32"
    net = model.Network(o.order, o.classes, o.width, o.blocks).to(o.device)
    x = torch.randn(o.batch, 1, o.frames, o.mels).to(o.device)
    if o.contender not in ("stock", "eager", "graph"):
        net = net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    if o.precision == "bf16-stored":
        store_in_bf16(torch, net)
        x = x.bfloat16()
    labels = torch.randint(o.classes, (o.batch,)).to(o.device)
    step = make_step(o, torch, net, x, labels)
    graph = o.contender in ("graph", "graph-channels-last", "compile-graph")
    return captured(torch, net, step) if graph else step, net, x


def begin(o):
    """PyTorch, imported after what must come before it."""
    if o.contender == "tuned" or (o.device == "cpu" and o.contender == "compile"):
        keep_memory()
    import torch

    return torch


def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


Timings = collections.namedtuple("Timings", "ms inner page_faults last")


def timings(o, torch, work):
    """Of `work`: milliseconds in each of o.steps rounds, how many a round is of, page faults, the last one's result."""
    wait = torch.cuda.synchronize if o.device == "cuda" else lambda: None

    def run(n):
        wait()
        start = time.perf_counter()
        for _ in range(n):
            last = work()
        wait()
        return (time.perf_counter() - start) * 1e3 / n, last

    runs, since, one = 0, 0.0, 1e3
    while runs < o.warm_up or (o.seconds > 0 and (runs < 2 or time.perf_counter() - since < o.seconds / 2)):
        one, _ = run(o.inner)
        runs += 1
        if runs == 1:  # compiled, captured, benchmarked
            since = time.perf_counter()
    inner = o.inner * max(1, math.ceil(o.seconds * 1e3 / o.steps / (one * o.inner)))
    faults = page_faults()
    rounds = [run(inner) for _ in range(o.steps)]
    return Timings([ms for ms, _ in rounds], inner, (page_faults() - faults) / o.steps / inner, rounds[-1][1])


def description(o, torch, net):
    """What the figures of a contender are of."""
    import model

    device = {"device": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()} if o.device == "cuda" else {}
    return {
        "program": f"torch {torch.__version__}", "contender": o.contender, "precision": o.precision, **device,
        "order": o.order, "level": o.level, "width": o.width, "blocks": o.blocks, "batch": o.batch, "frames": o.frames,
        "mels": o.mels, "classes": o.classes, "threads": o.threads, "parameters": model.count(net)[0],
        "optimizer": optimizer_name(o, torch),
    }  # fmt: skip


def measure(o):
    torch = begin(o)
    step, net, _ = prepare(o, torch)
    described = description(o, torch, net)
    t = timings(o, torch, step)
    median = statistics.median(t.ms)
    return {
        "bench": "step", **described, "rounds": o.steps, "steps": t.inner, "median_ms": round(median, 4),
        "min_ms": round(min(t.ms), 4), "samples_per_s": round(o.batch / median * 1e3, 2),
        "page_faults_per_step": round(t.page_faults), "loss": t.last.item(),
    }  # fmt: skip


def run_rounds(o, arguments):
    def run(contender, command):
        code = subprocess.run(command).returncode
        if code != 0:
            failed = {"bench": "step", "contender": contender, "precision": o.precision, "batch": o.batch, "failed": code}
            print(json.dumps({"round": index, **failed}), flush=True)

    for index in range(o.rounds):
        if o.beside:
            run("beside", shlex.split(o.beside))
        for contender in o.contenders.split(","):
            run(contender, [sys.executable, __file__, *arguments, "--contender", contender, "--round", str(index)])


def make_parser(text):
    """Of the network, the contenders, and how they are timed."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=sorted(CONTENDERS))
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--order", default="preact-bn", choices=("preact", "preact-bn", "relu", "relu-bn"))
    parser.add_argument("--level", default="sample", choices=("sample", "batch"))
    for name, value in (("width", 32), ("blocks", 2), ("batch", 64), ("frames", 64), ("mels", 64), ("classes", 4),
                        ("threads", 2), ("warm-up", 2), ("steps", 7)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--inner", type=int, help="training steps in each of the --steps timings; default 1, on a GPU 20")
    parser.add_argument("--seconds", type=float, help="that all timings take; default 1 on a GPU, else as --inner says")
    parser.add_argument("--contenders", help="comma-separated, in the order of running; default: all of the device")
    parser.add_argument("--beside", help="another command to run first (in every round)")
    parser.add_argument("--contender", help="only this one, once, in this process")
    return parser


def parse(parser, contenders):
    """contenders: of each device, all of which run where nobody names some."""
    o = parser.parse_args()
    known = contenders[o.device]
    o.contenders = o.contenders or ",".join(known)
    o.inner = o.inner or (20 if o.device == "cuda" else 1)
    o.seconds = (1 if o.device == "cuda" else 0) if o.seconds is None else o.seconds
    unknown = set((o.contender or o.contenders).split(",")) - set(known)
    if unknown:
        parser.error(f"unknown contender {' '.join(sorted(unknown))}: known on {o.device} are {', '.join(known)}")
    if o.device == "cpu" and o.precision == "tf32":
        parser.error("--precision tf32 needs --device cuda")
    return o


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round", type=int, default=0, help="number to print with a single contender")
    o = parse(parser, CONTENDERS)
    if o.contender:
        print(json.dumps({"round": o.round, **measure(o)}), flush=True)
    else:
        run_rounds(o, sys.argv[1:])


if __name__ == "__main__":
    main()
