#!/usr/bin/env python3
"""Makes rows.txt: what PyTorch in float64 computes from the records of every row of experiments/ (record_row.sh), for rows_test.sh to compare with where no
PyTorch is.

    python3 make_rows_golden.py BUILD [ROW...] [-o FILE]

Of each row the first SEEDS seeds from some number on are taken whose numbers can be compared: PyTorch's own float32 must follow the float64 run within a part of what the test
allows (replay.LIMITS), float64 runs with noise in every layer within all of it, so that no ReLU and no maximum lies so near its switch that rounding decides it.
Which seeds were passed over stands in the file. The engine's numbers have no part in this: of its record only the start, the pixels, labels and rates are used.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zlib

import numpy
import torch

import make_model_golden
import replay
import row_numbers

HERE = os.path.dirname(os.path.abspath(__file__))
EXPERIMENTS = os.path.join(HERE, "../../experiments")
FOLDERS = ("paper", "table2", "table3", "baselines")
SEEDS, MOST_SEEDS = 3, 60
NOISE, NOISY_RUNS = 1e-6, 3  # relative, in every layer: ten times float32's rounding
PART = 0.5  # of what the test allows
HEADER = """# Two training steps of every row of experiments/ at small size, by PyTorch in float64: made by make_rows_golden.py, read by compare_row.c.
# ROW SEED QUANTITY NUMBERS: losses by name in alphabetical order; of other quantities norm and projections (row_numbers.py).
"""


def rows():
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(EXPERIMENTS, folder))):
            if name.endswith(".ini"):
                yield f"{folder}/{name[:-4]}"


def is_followed(truth, start, side, part):
    return all(error <= part * replay.LIMITS[kind][0] for kind, error in replay.by_kind(replay.errors(side, truth, start)).items())


def numbers_of(folder):
    """(quantities, None), or (None, why these numbers cannot be compared)."""
    settings, start, steps, _, _ = replay.read_record(folder)
    truth = replay.replay(settings, start, steps, torch.float64)
    if not is_followed(truth, start, replay.replay(settings, start, steps, torch.float32), PART):
        return None, "float32"
    for run in range(NOISY_RUNS):
        random = numpy.random.default_rng([run])
        noisy = replay.replay(settings, start, steps, torch.float64, lambda model: make_model_golden.shake(model, random, NOISE))
        if not is_followed(truth, start, noisy, 1):
            return None, "noise"
    return {**row_numbers.of_start(start, steps), **row_numbers.of_side(truth, start)}, None


def make(row, build, work):
    """The row's lines."""
    lines, left_out = [], []
    experiment = os.path.join(EXPERIMENTS, row + ".ini")
    first = zlib.crc32(row.encode()) % 1000 + 1  # rows of one trunk are not to share its start
    for seed in range(first, first + MOST_SEEDS):
        folder = os.path.join(work, f"{row}@{seed}".replace("/", "-"))
        subprocess.run(["bash", os.path.join(HERE, "record_row.sh"), build, os.path.join(work, "world"), experiment, str(seed), folder], check=True)
        quantities, reason = numbers_of(folder)
        if reason:
            left_out.append(f"{seed} ({reason})")
            continue
        lines += [f"{row} {seed} {name} " + " ".join(f"{number:.12g}" for number in numbers) for name, numbers in quantities.items()]
        if len(lines) == SEEDS * len(quantities):
            break
    else:
        sys.exit(f"{row}: of {MOST_SEEDS} seeds only {len(lines)} lines can be compared")
    print(f"{row}: {seed - first + 1} seeds tried, left out: {', '.join(left_out) or 'none'}", flush=True)
    return ([f"# {row}: left out seeds {', '.join(left_out)}"] if left_out else []) + lines


def main():
    parser = argparse.ArgumentParser(description="Makes the golden numbers of the experiments' rows.")
    parser.add_argument("build")
    parser.add_argument("-o", "--out", default=os.path.join(HERE, "rows.txt"))
    parser.add_argument("rows", nargs="*", metavar="ROW")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["bash", os.path.join(HERE, "record_row.sh"), arguments.build, os.path.join(work, "world")], check=True)
        lines = [line for row in arguments.rows or rows() for line in make(row, arguments.build, work)]
    with open(arguments.out, "w", encoding="ascii") as file:
        file.write(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
