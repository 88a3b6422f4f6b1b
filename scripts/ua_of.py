"""UA of some of a run's test speakers alone, from its predictions.

  python3 scripts/ua_of.py RUN 13,14,15
"""
import csv
import sys
from collections import defaultdict
from pathlib import Path


def main(run, speakers):
    wanted = set(speakers.split(","))
    hits, counts, heard = defaultdict(int), defaultdict(int), set()
    with open(Path(run) / "predictions.csv", newline="") as f:
        for row in csv.DictReader(f):
            if row["part"] != "test" or row["speaker"] not in wanted:
                continue
            heard.add(row["speaker"])
            counts[row["truth"]] += 1
            hits[row["truth"]] += row["truth"] == row["predicted"]
    if heard != wanted:
        sys.exit(f"{run} tests no speaker {', '.join(sorted(wanted - heard))}")
    ua = sum(hits[c] / counts[c] for c in counts) / len(counts)
    print(f"UA {ua:.3f} of {sum(counts.values())} recordings of {len(heard)} speakers, {len(counts)} classes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
