"""Reads and writes safetensors files with numpy alone: u64 header length, JSON header, packed tensors.

Developer's tool of this folder; the engine has its own reader and writer (src/io). Knows the types those write.
"""

import json
import struct

import numpy

TYPES = {"F64": numpy.float64, "F32": numpy.float32, "F16": numpy.float16, "I64": numpy.int64, "I32": numpy.int32, "U8": numpy.uint8}
NAMES = {numpy.dtype(kind): name for name, kind in TYPES.items()}


def write(path, tensors, metadata):
    """tensors: name -> array, in the order of the file; metadata: text -> text."""
    header, offset = {"__metadata__": metadata}, 0
    arrays = {name: numpy.asarray(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.tobytes())


def read(path):
    """Returns (name -> array, metadata)."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = numpy.frombuffer(data[first:last], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata
