"""A record's numbers in short, for rows.txt: norms, and projections on fixed vectors of signs, which tell how far two sets of tensors lie apart.

compare_row.c does the same in C. For a difference d and random signs s, the mean square of s.d is |d|^2, so four projections estimate |d|.
"""

import numpy

PROJECTIONS = 4


def signs(name, count):
    """[PROJECTIONS, count] of -1 and 1: bits of SplitMix64 over FNV-1a of the name and the element's number."""
    hashed = 2166136261
    for byte in name.encode():
        hashed = (hashed ^ byte) * 16777619 % 2**32
    with numpy.errstate(over="ignore"):
        x = (numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(hashed << 32)) * numpy.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        x = x ^ (x >> numpy.uint64(31))
    return numpy.stack([1.0 - 2.0 * (x >> numpy.uint64(k) & numpy.uint64(1)) for k in range(PROJECTIONS)])


def summary(tensors):
    """[1 + PROJECTIONS]: norm of all tensors (name -> array) together, and their projections."""
    squares, projections = 0.0, numpy.zeros(PROJECTIONS)
    for name, tensor in tensors.items():
        values = numpy.asarray(tensor, numpy.float64).ravel()
        squares += (values**2).sum()
        projections += signs(name, values.size) @ values
    return [squares**0.5, *projections]


def of_start(start, steps):
    """What a record starts from, as the file holds it: quantity -> numbers."""
    images = {f"{step}/{name}": tensors[name] for step, (tensors, _) in enumerate(steps) for name in tensors if name.endswith(".images")}
    return {"start": summary(start), "images": summary(images)}


def of_side(side, start):
    """What training from there gives: (losses by step, gradients of the first, final tensors) as replay.py has them."""
    losses, gradients, final = side
    moved = {name: final[name] - numpy.asarray(start[name], numpy.float64) for name in final}
    out = {f"losses{step}": [named[name] for name in sorted(named)] for step, named in enumerate(losses)}
    out["gradients"] = summary(gradients)
    out["movement"] = summary({name: moved[name] for name in gradients})
    out["buffers"] = summary({name: moved[name] for name in moved if name not in gradients})
    return out
