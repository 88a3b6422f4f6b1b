"""What a whole study takes in PyTorch, its trainings one after the other: the peer of bench_study.

Times a training step and a batch of evaluation (eval mode, no_grad) of the same network, batch and precision as
torch_step.py has them, each contender in a process of its own, and multiplies them by the steps and batches of a
training and by the trainings, which bench_study prints (--beside):
  total = trainings * (steps * step + eval_batches * evaluation)
What a training needs besides (its start, its data, its records) counts for nothing here, and in Quaver's total counts.
A contender is one of torch_step.py's that neither compile nor capture. The command of --beside runs first and its
output, bench_study's lines, is passed through; a contender's line has the ratio to the fastest of them:
  python bench/peers/torch_study.py --device cuda --precision bf16-stored \\
      --beside "build/bench/bench_study --device cuda --precision bf16"
  python bench/peers/torch_study.py --device cuda --precision bf16-stored --beside "cat study.jsonl"
"""
import json
import shlex
import statistics
import subprocess
import sys

import torch_step

CONTENDERS = {"cpu": ("stock", "channels-last", "tuned"), "cuda": ("eager", "channels-last")}
SAME = ("order", "width", "blocks", "batch", "frames", "mels")
SIZES = ("steps", "eval_batches", "trainings")


def measure(o):
    """Milliseconds of a training step, and of a batch of evaluation."""
    torch = torch_step.begin(o)
    step, net, x = torch_step.prepare(o, torch)
    described = torch_step.description(o, torch, net)

    def evaluate():
        with torch.no_grad(), torch_step.casting(o, torch):
            return net(x).float().softmax(1)

    step_ms = statistics.median(torch_step.timings(o, torch, step).ms)
    net.eval()
    eval_ms = statistics.median(torch_step.timings(o, torch, evaluate).ms)
    return {"bench": "study", **described, "step_ms": round(step_ms, 4), "eval_ms": round(eval_ms, 4)}


def run_beside(o):
    """The lines of bench_study."""
    said = subprocess.run(shlex.split(o.beside), stdout=subprocess.PIPE, text=True)
    print(said.stdout, end="", flush=True)
    lines = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
    lines = [line for line in lines if line.get("bench") == "study" and "total_min" in line]
    if said.returncode != 0 or not lines:
        sys.exit(f"torch_study.py: {o.beside}: exit status {said.returncode}, {len(lines)} lines of a study")
    for line in lines:
        other = [f"{key} {line[key]}, here {getattr(o, key)}" for key in SAME if line[key] != getattr(o, key)]
        if other:
            sys.exit(f"torch_study.py: {o.beside} is of another network: {'; '.join(other)}")
    return lines


def total(line, quaver):
    """The line with what its times come to, beside the fastest of bench_study's lines."""
    best = min(quaver, key=lambda one: one["total_min"])
    training = (best["steps"] * line["step_ms"] + best["eval_batches"] * line["eval_ms"]) / 1e3
    minutes = training * best["trainings"] / 60
    return {
        **line, **{key: best[key] for key in SIZES}, "training_s": round(training, 4), "total_min": round(minutes, 3),
        "quaver_total_min": best["total_min"], "replicas": best["replicas"],
        "ratio": round(minutes / best["total_min"], 3),
    }  # fmt: skip


def main():
    parser = torch_step.make_parser(__doc__)
    o = torch_step.parse(parser, CONTENDERS)
    if o.contender:
        print(json.dumps(measure(o)), flush=True)
        return
    if not o.beside:
        parser.error("--beside names the bench_study, or what prints its lines, that the totals are formed with")
    quaver = run_beside(o)
    for contender in o.contenders.split(","):
        command = [sys.executable, __file__, *sys.argv[1:], "--contender", contender]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if said.returncode == 0:
            print(json.dumps(total(json.loads(said.stdout.splitlines()[-1]), quaver)), flush=True)
        else:
            failed = {"bench": "study", "contender": contender, "precision": o.precision, "failed": said.returncode}
            print(json.dumps(failed), flush=True)


if __name__ == "__main__":
    main()
