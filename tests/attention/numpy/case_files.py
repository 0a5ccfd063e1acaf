# Files for the tests of cases: golden files made by karat, and masks to give it.

import json
import os
import subprocess
import sys

import numpy as np

from check_golden import compare
from programs import EDITED, FOR_CASES

KARAT, FOLDER = sys.argv[1:3]


def path_of(name, suffix):
    return os.path.join(FOLDER, f"{name}.{suffix}")


def make(recipe, grid, channels=40, name="case", **options):
    """A golden file of every query block; options are karat make's."""
    edited = EDITED | FOR_CASES
    if recipe in edited:
        with open(path_of(recipe, "json"), "w") as file:
            json.dump({"name": recipe, **edited[recipe][1]}, file)
        recipe = path_of(recipe, "json")
    options = {"recipe": recipe, "grid": grid, "channels": channels, "workload": "video", "seed": 5,
               **options}
    words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value is not None]
    path = path_of(name, "h5")
    subprocess.run([KARAT, "make", *words, "--threads", "1", "--tap", "all", "--quiet", "-o", path], check=True)
    return path


def differs(path, program=None):
    try:
        return compare(path, program).first is not None
    except AssertionError:  # of shapes
        return True


def safetensors(name, **arrays):
    """A file of boolean and int32 arrays."""
    header, data = {}, b""
    for key, array in arrays.items():
        bits = array.tobytes()
        header[key] = {"dtype": {"bool": "BOOL", "int32": "I32"}[str(array.dtype)], "shape": array.shape,
                       "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(header).encode()
    path = path_of(name, "safetensors")
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)
    return path


def random_mask(tokens, seed, *heads):
    """A matrix of pairs with rows of no key, a block of 128 rows of no key, and full blocks."""
    rng = np.random.default_rng(seed)
    kept = rng.random((*heads, tokens, tokens)) < 0.5
    kept[..., :200, 128:] |= rng.random((*heads, 1, tokens - 128)) < 0.5
    kept[..., 128:256, :256] = True
    kept[..., ::7, :] = False
    kept[..., 384:512, :] = False
    kept[..., -20:, :-64] = False
    return kept


def random_lists(rows, columns, seed, *heads):
    """BlockMask arrays whose lists are in no order; what lies behind the counts is noise."""
    rng = np.random.default_rng(seed)
    count = rng.integers(0, columns + 1, (*heads, rows))
    partial = rng.binomial(count, 0.5)
    indices = rng.permuted(np.broadcast_to(np.arange(columns), (*heads, rows, columns)), axis=-1)
    full_indices = np.take_along_axis(  # the entries behind the partial ones first
        indices, (np.arange(columns) + partial[..., None]) % columns, axis=-1)
    arrays = {"kv_num_blocks": partial, "kv_indices": indices, "full_kv_num_blocks": count - partial,
              "full_kv_indices": full_indices}
    return {name: array.astype(np.int32) for name, array in arrays.items()}


def full_lists(rows, columns, seed, *heads):
    """The same with every listed block a full one."""
    arrays = random_lists(rows, columns, seed, *heads)
    counts = arrays["kv_num_blocks"] + arrays["full_kv_num_blocks"]
    none = np.zeros_like(counts)
    return arrays | {"kv_num_blocks": none, "full_kv_num_blocks": counts, "full_kv_indices": arrays["kv_indices"]}
