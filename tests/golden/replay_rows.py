#!/usr/bin/env python3
"""Replays records of many experiments in PyTorch (replay.py says how, and how closely they must agree), a line an experiment.

    python3 replay_rows.py FOLDER...

FOLDER is .../GROUP/NAME@SEED. A line shows the worst of the experiment's seeds: the engine's error / PyTorch's own in float32, both against PyTorch in float64.
At one seed of three rounding may switch a ReLU, which moves all but the first losses: such a seed is named and left out of its line. A wrong formula is wrong at
every seed.
"""

import os
import sys

import torch

import replay

COLUMNS = ("first losses", "later losses", "gradients", "each", "movement", "buffers")


def judge(folder):
    """(engine's worst by kind, PyTorch's own, what is too far: kind and text)."""
    settings, start, steps, gradients, final = replay.read_record(folder)
    truth, single = (replay.replay(settings, start, steps, kind) for kind in (torch.float64, torch.float32))
    missing = sorted(set(truth[1]) ^ set(gradients)) + sorted(set(truth[2]) ^ set(final))
    if missing:
        return {}, {}, [("first losses", f"tensors on one side only: {', '.join(missing)}")]
    own = replay.by_kind(replay.errors(single, truth, start))
    found = replay.errors((replay.losses_of(steps), gradients, final), truth, start)
    bad = [(kind, f"{name} {error:.1e}, allowed {replay.allowed(kind, own):.1e}") for name, (kind, error) in found.items()
           if not error <= replay.allowed(kind, own)]
    return replay.by_kind(found), own, bad


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = {}
    for folder in sys.argv[1:]:
        name, _, seed = "/".join(folder.split("/")[-2:]).rpartition("@")
        rows.setdefault(name, []).append((seed, folder))
    failed = 0
    print(f"{'engine / PyTorch float32':26} " + " ".join(f"{column:>15}" for column in COLUMNS))
    for name, records in rows.items():
        worst, left = {column: [0, 0] for column in COLUMNS}, 0
        for seed, folder in records:
            engine, own, bad = judge(folder)
            left += bool(bad)
            wrong = 3 * left > len(records) or any(kind == "first losses" for kind, _ in bad)
            failed += wrong
            for _, line in bad:
                print(f"{name}, seed {seed}: {'FAILED' if wrong else 'left out:'} {line}")
            for column in COLUMNS if not bad else ():
                worst[column] = [max(worst[column][0], engine[column]), max(worst[column][1], own[column])]
        print(f"{name:26} " + " ".join(f"{a:.1e}/{b:.1e}" for a, b in worst.values()), flush=True)
    print(f"{sum(map(len, rows.values()))} records of {len(rows)} experiments replayed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
