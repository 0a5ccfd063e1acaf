"""Files changed as a person would change them: shapes, types, values and texts, golden files sealed
again. A seal keeps accidents out, not people; a mutant is one change, chosen by its number."""
import hashlib
import json
import random
import shutil
import struct

import h5py
import numpy as np

SEAL = 512
SHAPES = ["zero", "one more", "one less", "drop", "add", "swap", "flat"]
TYPES = [np.int64, np.float64, np.uint8, np.int32, np.float32, np.uint16, np.bool_]


def seal(path):
    """Writes the 512 bytes anew, from the description in seal.hpp."""
    with open(path, "r+b") as file:
        first = file.read(SEAL).decode("latin-1")
        content = file.read()
        lines = dict(line.split(": ", 1) for line in first.split("\n") if ": " in line)
        text = (f"karat sealed file\nschema: {lines['schema']}\nbytes: {len(content)}\n"
                f"sha256: {hashlib.sha256(content).hexdigest()}\n")
        file.seek(0)
        file.write((text + " " * (SEAL - 1 - len(text)) + "\n").encode("latin-1"))


def datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)


def other_shape(shape, how, dice):
    shape = list(shape)
    axis = dice.randrange(len(shape)) if shape else 0
    if how == "zero" and shape:
        shape[axis] = 0
    elif how == "one more" and shape:
        shape[axis] += 1
    elif how == "one less" and shape:
        shape[axis] = max(0, shape[axis] - 1)
    elif how == "drop" and shape:
        del shape[axis]
    elif how == "swap":
        dice.shuffle(shape)
    elif how == "flat":
        shape = [int(np.prod(shape, dtype=np.int64))]
    else:
        shape.insert(axis, dice.choice([0, 1, 2]))
    return shape


def replace(file, name, array):
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = array
    for key, value in attributes.items():
        file[name].attrs[key] = value


def reshaped(file, dice):
    name = dice.choice(datasets(file))
    array = file[name][()]
    shape = other_shape(array.shape, dice.choice(SHAPES), dice)
    replace(file, name, np.resize(array, shape) if array.size else np.zeros(shape, array.dtype))


def retyped(file, dice):
    name = dice.choice(datasets(file))
    array = file[name][()]
    with np.errstate(all="ignore"):
        replace(file, name, np.asarray(array, dice.choice(TYPES)))
    if dice.random() < 0.5 and "format" in file[name].attrs:
        del file[name].attrs["format"]


def renamed_format(file, dice):
    names = [name for name in datasets(file) if "format" in file[name].attrs]
    if names:
        file[dice.choice(names)].attrs["format"] = dice.choice(
            ["e4m3", "e5m2", "e8m0", "bf16", "f16", "bool", "i64", "nonsense", ""])


def removed(file, dice):
    name = dice.choice(datasets(file))
    del file[name if dice.random() < 0.7 or "/" not in name else name.rsplit("/", 1)[0]]


def added(file, dice):
    name = dice.choice(datasets(file))
    leaf = name.rsplit("/", 1)[-1]
    place = dice.choice([leaf, "inputs/" + leaf, "stages/tap/0/0/99999999999/s", "stages/tap/7/7/0/s",
                         "stages/tap/0/0/-1/s", "stages/tap/x", "mask/given/mask",
                         "mask/given/window", "mask/given/kv_num_blocks"])
    if place not in file:
        file[place] = np.zeros(dice.choice([(0,), (1, 1, 3), (2, 2)]), dice.choice(TYPES))


def moved(file, dice):
    name = dice.choice(datasets(file))
    group = name.rsplit("/", 1)[0]
    to = dice.choice(["stages/tap/0/0/7", "stages/tap/5/0/0", "stages/other", "mask/given/mask"])
    if to not in file and not to.startswith(group + "/"):
        file.move(group, to)


def revalued(file, dice):
    names = [name for name in datasets(file) if file[name].size]
    item = file[dice.choice(names)]
    array = item[()]
    raw = bytearray(np.ascontiguousarray(array).tobytes())
    size = array.dtype.itemsize
    for _ in range(dice.choice([1, 4, 64])):
        at = dice.randrange(len(raw) // size) * size
        raw[at:at + size] = dice.choice([b"\xff" * size, b"\x00" * size, dice.randbytes(size),
                                         (b"\x00" * 4 + b"\x80\x7f")[-size:].rjust(size, b"\0")])
    item[...] = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)


def odd(value, dice):
    if isinstance(value, bool) or value is None:
        return dice.choice([0, "yes", []])
    if isinstance(value, (int, float)):
        return dice.choice([0, -1, 1, value + 1, 10 * value, 2**31 - 1, 1e30, "three"])
    if isinstance(value, str):
        return dice.choice(["", "none", value + "x", "e5m2", "f32", "token", "tile", 7])
    if isinstance(value, list):
        return dice.choice([[], [0] * len(value), [2**31 - 1] * len(value), value[:-1], value[::-1],
                            [1] * len(value)])
    return {}


def edited_recipe(file, dice):
    recipe = json.loads(file.attrs["recipe"])
    sections = [recipe] + [value for value in recipe.values() if isinstance(value, dict)]
    section = dice.choice(sections)
    key = dice.choice(list(section))
    if dice.random() < 0.1:
        del section[key]
    else:
        section[key] = odd(section[key], dice)
    file.attrs["recipe"] = json.dumps(recipe)


def edited_text(file, dice):
    texts = {"grid": ["", "0,0,0", "1,1,1", "2147483647,2147483647,2147483647", "3,9", "-3,-9,9",
                      "9,9,2"],
             "recipe": ["", "{}", "{", "[]", "null", "{\"base\": \"sage1\"}"],
             "case": ["", "{", "[]", "7"],
             "seed": ["", "x"],
             "text": ["1", "-1", "2147483647", "99999999999"],
             "mask_order": ["tokens", "", "sideways"],
             "schema": ["karat-golden/2", "karat-study/1"]}
    key = dice.choice(list(texts))
    file.attrs[key] = dice.choice(texts[key])


GOLDEN = [reshaped, reshaped, retyped, retyped, renamed_format, removed, added, moved, revalued,
          revalued, edited_recipe, edited_recipe, edited_text]


def golden(source, target, number):
    """A golden file with one change, sealed again. Returns what was done."""
    dice = random.Random(number)
    shutil.copy(source, target)
    change = dice.choice(GOLDEN)
    try:
        with h5py.File(target, "r+") as file:
            change(file, dice)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RuntimeError):
        shutil.copy(source, target)
        with open(target, "r+b") as file:  # what h5py cannot write: a byte of the file
            size = len(file.read())
            file.seek(dice.randrange(SEAL, size))
            file.write(dice.randbytes(1))
    seal(target)
    return change.__name__


def safetensors(source, target, number):
    dice = random.Random(number)
    with open(source, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    names = [name for name in header if name != "__metadata__"]
    name = dice.choice(names)
    entry = header[name]
    change = dice.choice(["shape", "shape", "dtype", "offsets", "values", "rename", "metadata", "byte"])
    if change == "shape":  # the values follow the shape, so that the file stays valid
        entry["shape"] = other_shape(entry["shape"], dice.choice(SHAPES), dice)
        arrays = {}
        for each in names:
            begin, end = header[each]["data_offsets"]
            arrays[each] = bytes(data[begin:end])
        width = {"F32": 4, "I32": 4, "BF16": 2, "F16": 2}.get(entry["dtype"], 1)
        wanted = int(np.prod(entry["shape"], dtype=np.int64)) * width
        old = arrays[name]
        arrays[name] = (old * (wanted // len(old) + 1))[:wanted] if old else bytes(wanted)
        data = bytearray()
        for each in names:
            header[each]["data_offsets"] = [len(data), len(data) + len(arrays[each])]
            data += arrays[each]
    elif change == "dtype":
        entry["dtype"] = dice.choice(["F4", "F6_E2M3", "C64", "I32", "F64", "U8", "BOOL", "F8_E5M2", 3])
    elif change == "offsets":
        entry["data_offsets"] = dice.choice([[0, 0], [1, 0], [0, 2**63], [-1, 4], [0], "x"])
    elif change == "values" and data:
        for _ in range(8):
            data[dice.randrange(len(data))] = dice.choice([0x00, 0x7F, 0x80, 0xFF])
    elif change == "rename":
        header[dice.choice(["o", "q", "q_codes", "lse", "x" * 300, ""])] = header.pop(name)
    elif change == "metadata":
        header["__metadata__"] = dice.choice([{}, {"grid": "0,0,0"}, {"recipe": "{"}, {"grid": "1,1,1"},
                                              {"schema": "karat-golden/1"}, {"x": 1}, []])
    text = json.dumps(header).encode()
    if change == "byte":
        text = bytearray(text)
        text[dice.randrange(len(text))] = dice.randrange(256)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + bytes(text) + bytes(data))
    return change


def npy(source, target, number):
    dice = random.Random(number)
    with open(source, "rb") as file:
        whole = bytearray(file.read())
    end = whole.index(b"\n")
    change = dice.choice(["header", "header", "value", "cut"])
    if change == "header":
        for _ in range(dice.choice([1, 2])):
            whole[dice.randrange(end)] = dice.choice(list(b"0123456789(),L'<>|fui ") +
                                                     [0, 255, dice.randrange(256)])
    elif change == "value":
        at = dice.randrange(end + 1, len(whole) - 4)
        whole[at:at + 4] = dice.choice([b"\xff" * 4, b"\x00\x00\x80\x7f"])
    else:
        del whole[dice.randrange(len(whole)):]
    with open(target, "wb") as file:
        file.write(bytes(whole))
    return change
