"""karat export: bundles against their schema, and read back."""
import json
import os
import unittest

import h5py
import numpy as np

from karat import Case, write
from read_bundle import read_bundle

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs",
                      "hipdnn_bundle.schema.json")


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32) if bits.dtype == np.uint16 else bits


class Bundle(Case):
    def make(self, *more, recipe="fa3_bf16"):
        self.succeeds("make", "--recipe", recipe, "--grid", "2,3,5", "--channels", 64, "--heads", 2,
                      "--seed", 7, *more, "-o", "g.h5", "--quiet")

    def export(self, *more):
        report = json.loads(self.succeeds("export", "g.h5", "b", "--bundle", "hipdnn", "--name", "case",
                                          "--json", *more).stdout)
        self.assertEqual(report["schema"], "karat.export")
        self.assertEqual(sorted(report["files"]), sorted(os.listdir(self.path("b"))))

    def validated(self, name):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("jsonschema is not installed")
        with open(SCHEMA) as file:
            schema = json.load(file)
        with open(self.path(f"b/{name}.json")) as file:
            graph = json.load(file)
        jsonschema.validate(graph, schema)
        with open(self.path(f"b/{name}.meta.json")) as file:
            jsonschema.validate(json.load(file), {**schema["definitions"]["meta"]})
        graph["nodes"][0].pop("inputs")
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate(graph, schema)

    def test_forward_is_read_back(self):
        self.make()
        self.export()
        node, meta, tensors = read_bundle(self.path("b"), "case")
        self.assertEqual(node["type"], "sdpa_forward")
        self.assertEqual((meta["reference_strategy"], meta["seed"]), ("matched_precision", 7))
        self.assertNotIn("forward_source", meta)
        with h5py.File(self.path("g.h5")) as golden:
            for name, dataset in (("q", "inputs/q"), ("k", "inputs/k"), ("v", "inputs/v"),
                                  ("o", "stages/o"), ("stats", "stages/lse")):
                np.testing.assert_array_equal(tensors[name], widened(golden[dataset][:]), name)
        q, k, v = (tensors[name].astype(float) for name in "qkv")
        p = np.exp(q @ k.swapaxes(2, 3) * node["attributes"]["attn_scale"])
        o = p @ v / p.sum(-1, keepdims=True)
        np.testing.assert_allclose(tensors["o"], o, rtol=2**-6, atol=2e-2)
        self.validated("case")

    def dense_with(self, tensors, scale):
        """o in f64 of q, k, v under the mask that the bundle holds."""
        q, k, v = (tensors[name].astype(float) for name in "qkv")
        p = np.exp(q @ k.swapaxes(2, 3) * scale) * tensors["attn_mask"]
        return p @ v / p.sum(-1, keepdims=True)

    def test_a_given_mask_is_a_tensor(self):
        kept = np.random.default_rng(3).random((2, 30, 30)) < 0.3
        kept[:, np.arange(30), np.arange(30)] = True
        for given, shape in ((kept[0], (1, 1, 30, 30)), (kept, (1, 2, 30, 30))):
            write(self.path("m.safetensors"), {"mask": ("BOOL", given)})
            self.make("--mask", "m.safetensors")
            self.export()
            node, _, tensors = read_bundle(self.path("b"), "case")
            np.testing.assert_array_equal(tensors["attn_mask"], given.reshape(shape))
            o = self.dense_with(tensors, node["attributes"]["attn_scale"])
            np.testing.assert_allclose(tensors["o"], o, rtol=2**-6, atol=2e-2)
            self.validated("case")
            tensors["attn_mask"] = ~tensors["attn_mask"]
            self.assertGreater(np.abs(self.dense_with(tensors, node["attributes"]["attn_scale"])
                                      - tensors["o"]).max(), 0.1, "another mask would not pass")

    def test_predicted_masks_are_tensors_of_every_head(self):
        self.succeeds("make", "--recipe", "subblock", "--grid", "4,9,17", "--channels", 64, "--heads", 2,
                      "-o", "g.h5", "--quiet")
        self.export()
        node, _, tensors = read_bundle(self.path("b"), "case")
        kept = tensors["attn_mask"]
        self.assertEqual(kept.shape, (1, 2, 612, 612))
        self.assertTrue(0.1 < kept.mean() < 0.5 and (kept[0, 0] != kept[0, 1]).any())
        o = self.dense_with(tensors, node["attributes"]["attn_scale"])
        np.testing.assert_allclose(tensors["o"], o, rtol=2**-6, atol=2e-2)
        self.validated("case")

    def test_a_gradient_reads_the_mask_of_its_forward(self):
        write(self.path("m.safetensors"), {"mask": ("BOOL", np.tri(30, dtype=bool))})
        self.make("--backward", "--mask", "m.safetensors")
        self.export()
        for name in ("case", "case_backward"):
            np.testing.assert_array_equal(read_bundle(self.path("b"), name)[2]["attn_mask"][0, 0], np.tri(30))
            self.validated(name)

    def test_the_reader_takes_thirty_lines(self):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "read_bundle.py")) as file:
            self.assertLessEqual(len(file.readlines()), 30)

    def test_precision_uplift_is_f64(self):
        self.make(recipe="fa3_fp8")
        self.export("--strategy", "precision_uplift")
        _, meta, tensors = read_bundle(self.path("b"), "case")
        self.assertEqual(meta["reference_strategy"], "precision_uplift")
        with h5py.File(self.path("g.h5")) as golden:
            np.testing.assert_array_equal(tensors["o"], golden["truth/sparse_o"][:])
            np.testing.assert_array_equal(tensors["stats"], golden["truth/sparse_lse"][:])
        self.validated("case")

    def test_backward_reads_its_own_forward(self):
        self.make("--backward")
        self.export()
        _, meta, backward = read_bundle(self.path("b"), "case_backward")
        self.assertEqual(meta["forward_source"], "case")
        forward = read_bundle(self.path("b"), "case")[2]
        for name in ("q", "k", "v", "o", "stats"):
            np.testing.assert_array_equal(backward[name], forward[name])
        with h5py.File(self.path("g.h5")) as golden:
            for name in ("dq", "dk", "dv"):
                np.testing.assert_array_equal(backward[name], widened(golden[f"stages/{name}"][:]))
        self.validated("case_backward")
        self.fails(2, "matched_precision", arguments=["export", "g.h5", "c", "--bundle", "hipdnn",
                                                      "--strategy", "precision_uplift"])

    def test_a_second_branch_is_no_part_of_the_graph(self):
        for recipe in ("vsa", "sla"):
            self.make(recipe=recipe)
            for strategy in ("matched_precision", "precision_uplift"):
                self.fails(2, "second branch", "branch.kind", arguments=["export", "g.h5", "b", "--bundle", "hipdnn",
                                                                         "--strategy", strategy])
            self.assertFalse(os.path.exists(self.path("b")))
        with open(self.path("fine.json"), "w") as file:
            json.dump({"base": "vsa", "branch": {"kind": "none"}}, file)
        self.make(recipe="fine.json")
        self.export()
        node, _, tensors = read_bundle(self.path("b"), "case")
        o = self.dense_with(tensors, node["attributes"]["attn_scale"])
        np.testing.assert_allclose(tensors["o"], o, rtol=2**-6, atol=2e-2)

    def test_bad_requests(self):
        self.make()
        self.fails(2, "hipdnn", arguments=["export", "g.h5", "b", "--bundle", "hipdn"])
        self.fails(2, "bundle", arguments=["export", "g.h5", "b"])
        self.fails(2, "folder", arguments=["export", "g.h5", "--bundle", "hipdnn"])
        self.fails(2, "--name", arguments=["export", "g.h5", "b", "--bundle", "hipdnn", "--name", "a/b"])
        self.fails(3, "no.h5", arguments=["export", "no.h5", "b", "--bundle", "hipdnn"])


if __name__ == "__main__":
    unittest.main()
