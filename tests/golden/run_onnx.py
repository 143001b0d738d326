#!/usr/bin/env python3
"""run_onnx.py MODEL.onnx FEATURES.npy PATHS.txt ROOT SIZE: the exported network in onnxruntime on the images of PATHS (resized and normalised here, by
Pillow and numpy) against the features that `skygem eval --save-features` wrote. Prints the largest difference over the largest value; fails above 1e-4.
run_onnx.py --check: says whether what this needs is there.
"""
import os
import sys

import numpy
import onnxruntime
from PIL import Image

if sys.argv[1] == "--check":
    print(onnxruntime.__version__)
    sys.exit()

model, features, paths, root, size = *sys.argv[1:5], int(sys.argv[5])
want = numpy.load(features)
with open(paths) as file:
    names = file.read().split("\n")[:-1]
mean, std = (numpy.array(values, numpy.float32).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def load(name):
    with Image.open(os.path.join(root, name)) as image:
        pixels = numpy.asarray(image.convert("RGB").resize((size, size), Image.BICUBIC), numpy.float32)
    return (pixels.transpose(2, 0, 1) / 255 - mean) / std


try:
    import onnx

    onnx.checker.check_model(model, full_check=True)
    checked = ", checked by onnx " + onnx.__version__
except ImportError:
    checked = ""
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
images = numpy.stack([load(name) for name in names])
got = session.run(None, {"images": images})[0]
assert got.shape == want.shape, (got.shape, want.shape)
error = numpy.abs(got - want).max() / numpy.abs(want).max()
print(f"{os.path.basename(model)}: {got.shape[0]} images, off by {error:.1e}{checked}")
assert numpy.linalg.norm(got, axis=1).max() < 1.0001 and error <= 1e-4
