"""Changes one operator or constant of a C file, chosen at random; prints where and what. For mutants.sh.

usage: mutants.py SEED FILE...      writes the changed file in place
"""
import random
import re
import sys

SWAPS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "&&": "||", "||": "&&", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "%": "/", "0.5": "0.25", "0.5f": "0.25f",
    "0": "1", "1": "0", "1.0": "2.0", "1.0f": "2.0f", "2": "3",
}
# Comments, strings, characters and directives are passed over; "&" and "*" of pointers look like operators and are told
# apart by the blanks that clang-format puts round an operator.
SKIP = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.S | re.M)
TOKEN = re.compile(r"(?<= )(?:\+=|-=|\*=|/=|<=|>=|==|!=|&&|\|\||[-+*/<>%])(?= )|(?<![\w.])(?:0\.5f?|1\.0f?|[012])(?![\w.])")


def candidates(text):
    blank = SKIP.sub(lambda m: " " * len(m.group()), text)
    for m in TOKEN.finditer(blank):
        line = blank.rfind("\n", 0, m.start()) + 1
        indented = blank[line:line + 1] == " "  # inside a function
        if indented:
            yield m


def main():
    choice = random.Random(int(sys.argv[1]))
    places = []
    for path in sys.argv[2:]:
        text = open(path).read()
        places += [(path, text, m) for m in candidates(text)]
    path, text, m = choice.choice(places)
    new = SWAPS[m.group()]
    open(path, "w").write(text[:m.start()] + new + text[m.end():])
    number = text.count("\n", 0, m.start()) + 1
    line = text.split("\n")[number - 1].strip()
    print(f"{path}:{number}: {m.group()} -> {new}: {line}")


main()
