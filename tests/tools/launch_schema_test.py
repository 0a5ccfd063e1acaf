"""docs/launch.schema.json says of a launch file what the reader of karat run says of it."""
import copy
import json
import os
import re
import unittest

from karat import Case

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PTX = """.version 8.0
.target sm_90a
.entry k(.param .u64 o, .param .align 64 .b8 map[128], .param .align 8 .b8 raw[16], .param .f32 x) {
.reg .b64 %d<9>; .reg .b32 %r<9>;
mov.u32 %r1, %laneid;
ret;
}
"""
GOOD = {
    "schema": "karat.launch", "version": 1, "ptx": "k.ptx", "kernel": "k", "grid": [2, 1, 1], "block": [32],
    "cluster": [1], "dynamic_shared": 4096, "fuse": "ptxas",
    "tensors": {"o": {"dtype": "u32", "shape": [8, 32], "fill": "ones", "output": True, "address": 1 << 40},
                "p": {"dtype": "bf16", "shape": [64, 64]}},
    "parameters": [
        {"pointer": "o", "offset": 8},
        {"tensor_map": {"tensor": "p", "offset": 0, "element": "bf16", "shape": [32, 64], "strides": [128],
                        "box": [8, 64], "element_strides": [1, 1], "swizzle": "128B", "fill": "zero"}},
        {"bytes": "00112233445566778899aabbccddeeFF", "patches": [{"at": 8, "pointer": "o", "offset": 4}]},
        {"f32": "-inf"}],
    "taps": [{"stage": "s", "line": 6, "registers": ["%r1"], "layout": "lanes", "dtype": "u32", "visits": "last",
              "first_warp": 0, "warps": 1, "ctas": [[0], [1]]},
             {"stage": "t", "line": 6, "shared": 1024, "shape": [4, 32], "dtype": "f32", "swizzle": "128B"}],
}
#: (where in the file, what stands there instead; None: nothing)
BAD = [
    (("schema",), "karat.lunch"), (("version",), 2), (("ptx",), None), (("ptx",), 5), (("grids",), [1]),
    (("grid",), [1, 2, 3, 4]), (("grid",), []), (("grid",), [-1]), (("grid",), [1.5]), (("dynamic_shared",), -1),
    (("fuse",), "yes"), (("tensors",), []), (("tensors", "o", "dtype"), "u33"), (("tensors", "o", "dtype"), None),
    (("tensors", "o", "fill"), "twos"), (("tensors", "o", "output"), 1), (("tensors", "o", "file_name"), "x"),
    (("parameters",), {}), (("parameters", 0, "pointer"), 7), (("parameters", 0, "offset"), -8),
    (("parameters", 0, "by"), 1), (("parameters", 1, "tensor_map", "tensor"), None),
    (("parameters", 1, "tensor_map", "box"), [300, 64]), (("parameters", 1, "tensor_map", "boxes"), [1]),
    (("parameters", 2, "bytes"), "0"), (("parameters", 2, "bytes"), "zz"),
    (("parameters", 2, "patches", 0, "at"), None), (("parameters", 2, "patches", 0, "to"), 1),
    (("parameters", 3), {"u8": 256}), (("parameters", 3), {"i8": -129}), (("parameters", 3), {"u64": -1}),
    (("parameters", 3), {"i32": 1.5}), (("parameters", 3), {"f32": "big"}), (("parameters", 3), {}),
    (("taps", 0, "stage"), ""), (("taps", 0, "line"), None), (("taps", 0, "layout"), "tile"),
    (("taps", 0, "registers"), []), (("taps", 0, "warps"), 33), (("taps", 0, "ctas"), [[0, -1]]),
    (("taps", 0, "shape"), [4, 32]), (("taps", 1, "shape"), [4]), (("taps", 1, "swizzle"), "256B"),
    (("taps", 1, "layout"), "lanes"),
]


def changed(path, value):
    launch = copy.deepcopy(GOOD)
    at = launch
    for step in path[:-1]:
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return launch


def properties(node):
    """All names of properties anywhere in the schema."""
    found = set()
    if isinstance(node, dict):
        found |= {name for name, value in node.get("properties", {}).items() if value is not False}
        for value in node.values():
            found |= properties(value)
    elif isinstance(node, list):
        for value in node:
            found |= properties(value)
    return found


class LaunchSchema(Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(ROOT, "docs", "launch.schema.json")) as file:
            self.schema = json.load(file)

    def reads(self, launch):
        """Whether the reader takes the file: refusals of files have exit code 3, of choices 2."""
        with open(self.path("k.ptx"), "w") as file:
            file.write(PTX)
        with open(self.path("l.json"), "w") as file:
            json.dump(launch, file)
        done = self.karat("run", "l.json", "-o", "o.safetensors", "--taps")
        self.assertIn(done.returncode, (0, 2, 3), done.stderr)
        return done.returncode == 0

    def test_every_name_of_the_reader_stands_in_it(self):
        asked = set()
        for name in ("read_launch", "read_argument", "read_tap"):
            with open(os.path.join(ROOT, "src", "ptx", "launch", name + ".cpp")) as file:
                text = file.read()
            if name == "read_launch":  # launches of what is in memory have more
                text = text[:text.index("Launch read_launch(const files::Json& json, std::string ptx")]
            asked |= set(re.findall(
                r'\b(?:in|patch)\.(?:text|flag|whole|has|at|wholes<[^>]*>)\(\s*"(\w+)"', text))
            asked |= set(re.findall(r'read_dimensions\(in, "(\w+)"', text))
            asked |= set(re.findall(r'\{"([iuf]\d+)"', text))
        self.assertGreater(len(asked), 40)
        self.assertEqual(asked, properties(self.schema))

    def test_they_say_the_same_of_good_and_bad_files(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("jsonschema is not installed")
        validator = jsonschema.Draft7Validator(self.schema)
        validator.check_schema(self.schema)
        self.assertEqual(list(validator.iter_errors(GOOD)), [])
        self.assertTrue(self.reads(GOOD))
        for path, value in BAD:
            launch = changed(path, value)
            self.assertFalse(validator.is_valid(launch), (path, value))
            self.assertFalse(self.reads(launch), (path, value))


if __name__ == "__main__":
    unittest.main()
