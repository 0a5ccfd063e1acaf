"""A hipDNN bundle of docs/bundles.md with NumPy alone:  read_bundle.py DIR NAME"""
import json
import sys

import numpy as np

TYPES = {"bfloat16": np.uint16, "half": np.float16, "float": np.float32, "double": np.float64,
         "fp8_e4m3": np.uint8, "fp8_e5m2": np.uint8, "boolean": np.bool_}


def read_bundle(folder, name):
    """The node, the meta file, and the tensors by name; BF16 is widened, FP8 stays codes."""
    with open(f"{folder}/{name}.json") as graph_file, open(f"{folder}/{name}.meta.json") as meta_file:
        graph, meta = json.load(graph_file), json.load(meta_file)
    tensors = {}
    for about in graph["tensors"]:
        values = np.fromfile(f"{folder}/{name}.tensor{about['uid']}.bin",
                             np.dtype(TYPES[about["data_type"]]).newbyteorder("<"))
        strides = [stride * values.itemsize for stride in about["strides"]]
        values = np.lib.stride_tricks.as_strided(values, about["dims"], strides)
        if about["data_type"] == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[about["name"]] = values
    return graph["nodes"][0], meta, tensors


if __name__ == "__main__":
    for tensor, array in read_bundle(*sys.argv[1:])[2].items():
        print(tensor, array.dtype, array.shape)
