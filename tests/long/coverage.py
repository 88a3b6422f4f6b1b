"""Lines that the tests ran, by folder and file, from what gcov says of a build with --coverage.

usage: coverage.py BUILD SOURCE
A file that is compiled several times (instruction sets, float and double) counts a line as run where one of them ran it."""
import collections
import json
import pathlib
import subprocess
import sys

build, source = (pathlib.Path(p).resolve() for p in sys.argv[1:3])
lines = collections.defaultdict(dict)  # file -> line -> was it run
for data in build.rglob("*.gcda"):
    out = subprocess.run(["gcov", "--json-format", "--stdout", data], capture_output=True, check=False, cwd=build).stdout
    for text in out.splitlines():
        for file in json.loads(text)["files"]:
            path = (build / file["file"]).resolve()
            if not path.is_relative_to(source) or path.is_relative_to(build):
                continue
            name = str(path.relative_to(source))
            if not name.startswith(("src/", "kernels/", "include/")):
                continue
            for line in file["lines"]:
                known = lines[name].get(line["line_number"], False)
                lines[name][line["line_number"]] = known or line["count"] > 0
if not lines:
    sys.exit("no figures: was the build made with --coverage, and were tests run?")


def row(name, run, of):
    print(f"{name:<40} {run:>6} of {of:>6} lines {100 * run / of:6.1f} %")


folders = collections.Counter(), collections.Counter()
for name, seen in lines.items():
    folder = name.rsplit("/", 1)[0]
    folders[0][folder] += sum(seen.values())
    folders[1][folder] += len(seen)
for folder in sorted(folders[1]):
    row(folder, folders[0][folder], folders[1][folder])
row("all", sum(folders[0].values()), sum(folders[1].values()))
print("\nleast covered files:")
shares = sorted((sum(seen.values()) / len(seen), name) for name, seen in lines.items())
for share, name in shares[:10]:
    row(name, sum(lines[name].values()), len(lines[name]))
