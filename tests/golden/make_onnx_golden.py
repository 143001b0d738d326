#!/usr/bin/env python3
"""Makes tests/golden/tiny.onnx with the onnx package, for onnx_write_test.c: the same small model must come out of src/io/onnx_write.c byte for byte.

Debian 12: apt-get install python3-onnx; then run this file with /usr/bin/python3.
"""
import os

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

weight = numpy.arange(2 * 3 * 1 * 2, dtype=numpy.float32).reshape(2, 3, 1, 2) / 8 - 0.5
constants = {"w": weight, "shape": numpy.array([0, -1], numpy.int64), "half": numpy.array(0.25, numpy.float32)}
nodes = [
    helper.make_node("Conv", ["images", "w"], ["y"], name="y", kernel_shape=[1, 2], pads=[0, 0, 0, 0], strides=[1, 300]),
    helper.make_node("MaxPool", ["y"], ["p"], name="p", ceil_mode=1, kernel_shape=[1, 1]),
    helper.make_node("Reshape", ["p", "shape"], ["features"], name="features"),
]
graph = helper.make_graph(
    nodes,
    "tiny",
    [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 1, 200])],
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])],
    [numpy_helper.from_array(array, name) for name, array in constants.items()],
    doc_string="a model of three nodes",
)
model = helper.make_model(graph, producer_name="skygem", producer_version="0.1.0", opset_imports=[helper.make_opsetid("", 13)])
model.ir_version = 7
onnx.checker.check_model(model)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tiny.onnx"), "wb") as file:
    file.write(model.SerializeToString())
