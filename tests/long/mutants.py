"""Makes mutants and lets the tests judge them: mutants.sh.

usage: mutants.py targets                                 the test programs, as ninja names them
       mutants.py SOURCE BUILD COUNT [SEED [FIRST]]
"""
import collections
import glob
import os
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile

# What a kind mutates; the tests that should notice; those that are asked if they did not. A test "NAME/ops" runs the ops
# of the changed file alone.
Kind = collections.namedtuple("Kind", "files first then")
KINDS = {
    "kernels": Kind(["kernels/*.cu", "kernels/*.cuh"], ["test_refusals_plain", "test_step_plain", "test_kernels_plain/ops"],
                    ["test_refusals_asan", "test_step_asan", "test_kernels_asan/ops", "test_kernels_race/ops", "cuda_test_training_plain",
                     "test_kernels_plain"]),
    "ref": Kind(["src/backend/ref/shake.c", "src/backend/ref/bn.c", "kernels/coef.h"],
                ["test_ref", "test_draws", "test_fixtures"], ["test_properties", "test_ops/ops", "test_net"]),
    "cpu": Kind(["src/backend/cpu/isa/shake.c", "src/backend/cpu/isa/bn.c", "src/backend/cpu/isa/bn_grad.c"],
                ["test_programs", "test_ops/ops"], ["test_fixtures"]),
    "statistics": Kind(["src/train/metrics.c", "src/study/stats.c", "src/study/stats_resample.c", "src/base/order.c"],
                       ["test_metrics", "test_stats"], []),
}
SWAPS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "%": "/", "0.5": "0.25", "0.5f": "0.25f",
    "0": "1", "1": "0", "1.0": "2.0", "1.0f": "2.0f", "2": "3",
}
# Comments, strings, characters and directives are passed over; "&" and "*" of pointers look like operators and are told
# apart by the blanks that clang-format puts round an operator.
SKIP = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.S | re.M)
TOKEN = re.compile(r"(?<= )(?:\+=|-=|\*=|/=|<=|>=|==|!=|&&|\|\||[-+*/<>%])(?= )|(?<![\w.])(?:0\.5f?|1\.0f?|[012])(?![\w.])")
# What no result can depend on is left alone: hints for speed, and the extent of an array that is filled where it stands.
HINT = re.compile(r"qv_(?:prefetch|pool_for)\(")
EXTENT = re.compile(r"\d\] = \{")
OP = re.compile(r"\b(?:QV_FN\(qv_|QV_REF\(|qv_cuda_)(\w+)\)?\(const qv_call")
CPU_SECONDS = 60


def places(path):
    """Offsets and tokens inside functions: an indented line."""
    text = open(path).read()
    blank = SKIP.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for m in TOKEN.finditer(blank):
        begin, end = blank.rfind("\n", 0, m.start()) + 1, blank.find("\n", m.start())
        hint = HINT.search(blank, begin, end)
        if blank[begin] == " " and not (hint and hint.start() < m.start()) and not EXTENT.match(blank, m.start()):
            yield path, text, m


class Program:
    """A test program: how its objects are compiled and how it is linked."""

    def __init__(self, build, name):
        words = [shlex.split(line) for line in ninja(build, "commands", name).splitlines()]
        words = [w[1:] if w[0].endswith("ccache") else w for w in words]
        self.compile = {w[w.index("-o") + 1]: w for w in words if "-c" in w and "-o" in w}
        self.link = words[-1][2:-2]  # ": && ... && :"
        self.path = self.link[self.link.index("-o") + 1]

    def link_with(self, objects, out):
        command = [objects.get(w, w) for w in self.link]
        command[command.index("-o") + 1] = out
        # What an archive holds as well is found here first.
        first = next(i for i, w in enumerate(command) if w.endswith(".a"))
        command[first:first] = [new for old, new in objects.items() if old not in self.link]
        return command


def ninja(build, tool, *arguments):
    return subprocess.run(["ninja", "-C", build, "-t", tool, *arguments], check=True, capture_output=True, text=True).stdout


def includes(root, build):
    """Which objects are made of which files of the project."""
    users, target = collections.defaultdict(set), None
    for line in ninja(build, "deps").splitlines():
        if line.startswith("    "):
            users[os.path.relpath(os.path.join(build, line.strip()), root)].add(target)
        elif line:
            target = line.split(":")[0]
    return users


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Judge:
    def __init__(self, root, build):
        self.root, self.build = root, build
        self.users = includes(root, build)
        self.programs = {}

    def fresh(self):
        """A folder for one mutant; its overlay stands before the source when headers are looked for."""
        self.folder, self.made = tempfile.mkdtemp(), {}
        return os.path.join(self.folder, "overlay")

    def program(self, name):
        if name not in self.programs:
            self.programs[name] = Program(self.build, name)
        return self.programs[name]

    def objects(self, program, path, overlay):
        """The program's objects that are made of the file, made anew from the overlay; None: that does not compile."""
        made = self.made.setdefault(overlay, {})
        # What nvcc makes of the kernels stands in the library, but no test here runs it.
        wanted = {o for o in self.users[path] & program.compile.keys() if not o.startswith("kernels/")}
        for old in sorted(wanted - made.keys()):
            new = os.path.join(self.folder, f"{len(os.listdir(self.folder))}.o")
            command = list(program.compile[old])
            source = os.path.join(overlay, path)
            at = command.index("-c") + 1
            if os.path.relpath(command[at], self.root) == path:
                command[at] = source
            command[command.index("-o") + 1] = new
            command[1:1] = [f"-I{overlay}", f"-I{overlay}/src"]
            command[-2:-2] = ["-O1", "-g0", "-w"]
            if subprocess.run(command, cwd=self.build, capture_output=True).returncode != 0:
                return None
            made[old] = new
        return {old: made[old] for old in wanted}

    def ops(self, path):
        """Names of the ops that the objects made of the file do."""
        names = set()
        for source in glob.glob(f"{self.root}/kernels/*.cu") + glob.glob(f"{self.root}/src/backend/*/**/*.c", recursive=True):
            short = os.path.relpath(source, self.root)
            if short == path or self.users[short] & self.users[path]:
                names |= set(OP.findall(open(source).read()))
        return ",".join(sorted(names))

    def passes(self, test, path, objects):
        name, _, only = test.partition("/")
        program = self.program(name)
        out = os.path.join(self.folder, name)
        linked = subprocess.run(program.link_with(objects, out), cwd=self.build, capture_output=True, text=True)
        if linked.returncode != 0:
            sys.exit(f"{name} cannot be linked:\n{linked.stderr}")
        environment = dict(os.environ, SIMT_SEED="0", QV_PROGRAMS="20")
        if only:
            environment["QV_OPS"] = self.ops(path)
        try:
            ran = subprocess.run([out], cwd=self.root, env=environment, preexec_fn=limits, timeout=20 * CPU_SECONDS,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return ran.returncode == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            os.unlink(out)

    def killer(self, kind, path, overlay):
        """The first test that fails; "" for none; None: the mutant does not compile."""
        stem = os.path.basename(path).split(".")[0].split("_")[0]
        first = [t for t in kind.first if t == f"test_{stem}"] or kind.first
        for test in first + [t for t in kind.first + kind.then if t not in first]:
            objects = self.objects(self.program(test.partition("/")[0]), path, overlay)
            if objects is None:
                return None
            if objects and not self.passes(test, path, objects):
                return test.partition("/")[0]
        return ""

    def same_code(self, kind, path, overlay):
        """What survived may be what it was: the compiler sees no difference."""
        program = self.program(kind.first[-1].partition("/")[0])
        mine, theirs = (self.objects(program, path, o) for o in (overlay, self.root))
        return bool(mine) and all(open(mine[o], "rb").read() == open(theirs[o], "rb").read() for o in mine)


def mutate(choice, root, kind, overlay, done):
    """One change that is not done yet, written into the overlay; the file's name and a line that says what it is."""
    every = [p for pattern in kind.files for path in sorted(glob.glob(f"{root}/{pattern}")) for p in places(path)]
    path, text, m = choice.choice([p for p in every if (p[0], p[2].start()) not in done])
    done.add((path, m.start()))
    short = os.path.relpath(path, root)
    target = os.path.join(overlay, short)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new = SWAPS[m.group()]
    open(target, "w").write(text[:m.start()] + new + text[m.end():])
    number = text.count("\n", 0, m.start()) + 1
    return short, f"{short}:{number}: {m.group()} -> {new}: {text.splitlines()[number - 1].strip()}"


def main():
    if sys.argv[1] == "targets":
        print(" ".join(sorted({t.partition("/")[0] for k in KINDS.values() for t in k.first + k.then})))
        return 0
    root, build, count = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]), int(sys.argv[3])
    seed, begin = (int(a) for a in (sys.argv[4:6] + ["1", "0"][len(sys.argv) - 4:]))
    killed = refused = alike = 0
    done = set()
    names = list(KINDS)
    judge = Judge(root, build)
    for kind in KINDS.values():  # it must not condemn the innocent
        path, overlay = os.path.relpath(sorted(glob.glob(f"{root}/{kind.files[0]}"))[0], root), judge.fresh()
        os.makedirs(os.path.dirname(os.path.join(overlay, path)))
        shutil.copy(os.path.join(root, path), os.path.join(overlay, path))
        if (by := judge.killer(kind._replace(then=[]), path, overlay)) != "":
            sys.exit(f"{path} as it is fails {by or 'to compile'}")
        shutil.rmtree(judge.folder)
    for i in range(begin, count):
        kind = KINDS[names[i % len(names)]]
        choice = random.Random(seed * 10007 + i)
        while True:
            overlay = judge.fresh()
            path, what = mutate(choice, root, kind, overlay, done)
            by = judge.killer(kind, path, overlay)
            same = by == "" and judge.same_code(kind, path, overlay)
            shutil.rmtree(judge.folder)
            refused += by is None
            alike += same
            if by is not None and not same:
                break
        killed += by != ""
        print(f"killed by {by}: {what}" if by else f"SURVIVED {what}", flush=True)
    print(f"{killed} of {count - begin} mutants killed (seed {seed}); drawn anew: {refused} that did not compile, "
          f"{alike} with the machine code of the original")
    return 0


sys.exit(main())
