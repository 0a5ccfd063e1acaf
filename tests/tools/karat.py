"""The binary under test; safetensors without a library, written from the format's description."""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import numpy as np

KARAT = os.environ["KARAT"]
TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16,
         "F8_E4M3": np.uint8, "F8_E5M2": np.uint8, "U8": np.uint8, "I32": np.int32, "I64": np.int64, "U16": np.uint16}


def read(path):
    """{name: (dtype, array)}; codes of short floats stay codes."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = (entry["dtype"], array.copy())
    return tensors


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def bf16(values):
    """float32 -> BF16 codes by truncation; enough for made-up inputs."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


class Case(unittest.TestCase):
    """A scratch folder, and `karat` with its exit code and both streams."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="karat_")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def karat(self, *arguments, **options):
        options.setdefault("timeout", 600)
        return subprocess.run([KARAT, *map(str, arguments)], capture_output=True, text=True,
                              cwd=self.folder, **options)

    def succeeds(self, *arguments, **options):
        done = self.karat(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def fails(self, code, *words, arguments, **options):
        """One line "karat: subject: problem; action" with every word in it; stdout empty."""
        done = self.karat(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("karat: "), lines)
        self.assertRegex(lines[0], r"^karat: .+: .+")
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual(done.stdout, "")
        return done

    def files(self):
        return sorted(os.listdir(self.folder))
