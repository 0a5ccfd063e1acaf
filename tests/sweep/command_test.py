"""karat sweep as a cluster drives it: runners killed at any moment, arrays, MPI, disks that fill."""
import json
import os
import random
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from karat import KARAT, Case  # noqa: E402

# A kill does not need a disk, and a disk that syncs for every result makes the tests wait.
if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 200e6:
    tempfile.tempdir = "/dev/shm"
LONG = os.environ.get("KARAT_LONG") == "1"
RECIPE = {"base": "fpsattention", "name": "small", "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]},
          "q": {"tile": [2, 4, 4]}, "k": {"tile": [2, 4, 4]}, "block": {"q": 16, "k": 32},
          "pv": {"promote_every": 32}}
STUDY = {"recipes": ["small.json"], "grid": [4, 8, 12], "head_dim": 32, "prompts": 2, "steps": ["5", "40"],
         "heads": ["0", "2"], "rows": 32, "draws": 4}


def allowed(*command):
    """Whether this machine lets a test have namespaces or mounts of its own."""
    return shutil.which(command[0]) and subprocess.run(command, capture_output=True).returncode == 0


MOUNTS = allowed("unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt")


class Sweep(Case):
    def setUp(self):
        super().setUp()
        self.write("small.json", RECIPE)

    def write(self, name, content):
        with open(self.path(name), "w") as file:
            json.dump(content, file)

    def bytes_of(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def planned(self, folder="plan", **body):
        spec = {"schema": "karat.sweep_spec", "version": 1, "threads": 1, **body}
        self.write("spec.json", spec)
        return json.loads(self.succeeds("sweep", "plan", "spec.json", "-o", folder, "--json").stdout)

    def copy_of(self, plan, name):
        """The same plan again, untouched: shards name the first folder, results do not."""
        self.succeeds("sweep", "plan", "spec.json", "-o", name)
        return name

    def status(self, plan):
        done = self.karat("sweep", "status", plan, "--json")
        status = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if status["complete"] else 1, done.stderr)
        return status

    def run_plan(self, plan, *options, **more):
        return json.loads(self.succeeds("sweep", "run", plan, "--json", *options, **more).stdout)

    def merged(self, plan, ending):
        self.succeeds("sweep", "merge", plan, "-o", plan + ending, timeout=3600)
        return self.bytes_of(plan + ending)

    def logged(self, plan):
        """How often each shard was computed."""
        counts = {}
        for name in os.listdir(self.path(plan + "/log")):
            for line in self.bytes_of(plan + "/log/" + name).decode().splitlines():
                shard = json.loads(line).get("shard")
                if shard is not None:
                    counts[shard] = counts.get(shard, 0) + 1
        return counts

    def runner(self, plan, *options, **more):
        return subprocess.Popen([KARAT, "sweep", "run", plan, "--quiet", *options], cwd=self.folder,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)

    def kill_until_done(self, plan, runners, pause):
        chance = random.Random(1)
        alive, kills = [], 0
        deadline = time.monotonic() + (3600 if LONG else 240)
        while True:
            for process in [p for p in alive if p.poll() is not None]:
                error = process.stderr.read().decode()
                process.stderr.close()
                self.assertIn(process.returncode, (0, -9), error)
                alive.remove(process)
            if self.status(plan)["complete"]:
                break
            self.assertLess(time.monotonic(), deadline, self.status(plan))
            while len(alive) < runners:
                alive.append(self.runner(plan))
            time.sleep(pause)
            victim = chance.choice(alive)
            victim.kill()
            kills += 1
        for process in alive:
            process.wait()
            process.stderr.close()
        return kills

    def test_killed_at_any_moment(self):
        shards, runners, pause = (1000, 8, 1) if LONG else (60, 4, 0.3)
        body = {"lease": 1, "golden": {"recipes": ["dense_f32"], "tap": "none", "cases": {
            "grid": [1, 2, 4], "head_dim": 8, "seed": "0-%d" % (shards - 1)}}}
        plan = self.planned(**body)
        self.assertEqual(plan["shards"], shards)
        self.copy_of("plan", "calm")
        self.assertEqual(self.run_plan("calm", timeout=3600)["made"], shards)
        kills = self.kill_until_done("plan", runners, pause)
        self.assertGreater(kills, 1)
        self.assertEqual(self.merged("plan", ".h5"), self.merged("calm", ".h5"))
        status = self.status("plan")
        self.assertEqual((status["done"], status["failed"], status["open"]), (shards, [], 0))
        # What was lost by a kill was logged at most once before; nothing else was computed twice.
        self.assertEqual(sorted(self.logged("plan")), list(range(shards)))
        twice = sum(count - 1 for count in self.logged("plan").values())
        self.assertLessEqual(twice, kills)
        self.assertEqual(self.run_plan("plan")["made"], 0)

    def assert_same_attributes(self, one, other):
        self.assertEqual(list(one.attrs), list(other.attrs))
        for name in one.attrs:
            np.testing.assert_array_equal(one.attrs[name], other.attrs[name], name)

    def test_golden_shards_are_what_their_commands_make(self):
        self.planned(golden={"recipes": ["small.json"], "cells": {
            "grid": [4, 8, 12], "head_dim": 32, "prompts": 1, "steps": ["40"], "heads": ["1"]}})
        self.assertEqual(self.run_plan("plan")["made"], 2)
        with open(self.path("plan/shards.tsv")) as file:
            lines = [line.rstrip("\n").split("\t") for line in file]
        for name, _, _, size, command in lines:
            self.succeeds(*command.split()[1:])
            file = self.bytes_of(name + ".h5")
            self.assertEqual(file, self.bytes_of("plan/results/0000/" + name + ".h5"))
            self.assertLess(abs(np.log(float(size) / len(file))), np.log(2), "the estimate of bytes")
        self.merged("plan", ".h5")
        with h5py.File(self.path("plan.h5")) as merged:
            self.assertEqual(merged.attrs["schema"], "karat-golden-set/1")
            table = json.loads(merged.attrs["shards"])
            self.assertEqual([line["shard"] for line in table], [line[0] for line in lines])
            for name in (line[0] for line in lines):
                with h5py.File(self.path(name + ".h5")) as single:
                    case = merged["cases/" + name]
                    datasets = []
                    single.visititems(lambda path, item: datasets.append(path) if isinstance(
                        item, h5py.Dataset) else None)
                    self.assertGreater(len(datasets), 20)
                    for path in datasets:
                        np.testing.assert_array_equal(case[path][()], single[path][()], path)
                        self.assert_same_attributes(case[path], single[path])
                    self.assert_same_attributes(case, single)
                    self.assert_same_attributes(case["mask"], single["mask"])
        self.check_captured_cells()

    def check_captured_cells(self):
        """The same through a folder of captures, whose tensors come from the golden files."""
        tensors, header, data = {}, {"__metadata__": {"grid": "4,8,12", "steps": "50"}}, b""
        for branch in ("cond", "uncond"):
            with h5py.File(self.path("small.p0.s40.l15.h1.%s.h5" % branch)) as made:
                for name in "qkv":
                    tensors["p0.s40.l15.h1.%s.%s" % (branch, name)] = made["inputs/" + name][0, 0]
        for name, array in tensors.items():
            header[name] = {"dtype": "BF16", "shape": list(array.shape),
                            "data_offsets": [len(data), len(data) + array.nbytes]}
            data += array.tobytes()
        os.mkdir(self.path("capture"))
        text = json.dumps(header).encode()
        with open(self.path("capture/a.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + data)
        self.planned("captured", golden={"recipes": ["small.json"], "cells": {"capture": "capture"}})
        self.assertEqual(self.run_plan("captured")["made"], 2)
        name = "small.p0.s40.l15.h1.uncond.h5"
        with h5py.File(self.path("captured/results/0000/" + name)) as one, h5py.File(self.path(name)) as other:
            for path in ("stages/o", "stages/q_codes", "truth/sparse_o"):
                np.testing.assert_array_equal(one[path][()], other[path][()])
        os.rename(self.path("capture"), self.path("gone"))
        shutil.rmtree(self.path("captured/results/0000"))
        os.mkdir(self.path("captured/results/0000"))
        self.fails(3, "capture", "is no folder", arguments=["sweep", "run", "captured"])
        self.check_cell_options()

    def check_cell_options(self):
        make = ["make", "--recipe", "dense_f32", "-o", "a.h5"]
        self.fails(2, "--cell", "no cell", arguments=make + ["--cell", "p0"])
        self.fails(2, "--capture", "--cell", arguments=make + ["--capture", "."])
        self.fails(2, "--sigma", "--cell", arguments=make + ["--sigma", "1", "--cell", "p0.s0.l0.h0.cond"])
        self.fails(2, "heads", "0..11", arguments=make + ["--cell", "p0.s0.l0.h12.cond"])

    def test_a_study_is_the_same_from_many_machines(self):
        self.planned(study=STUDY)
        options = ["--recipes", "small.json", "--grid", "4,8,12", "--channels", "32", "--prompts", "2",
                   "--steps", "5,40", "--heads", "0,2", "--rows", "32", "--draws", "4", "--threads", "1"]
        self.succeeds("study", *options, "--out", "one.h5")
        for i in range(1, 4):
            self.run_plan("plan", "--shard", "%d/3" % i)
        self.assertEqual(self.merged("plan", ".h5"), self.bytes_of("one.h5"))
        again = self.succeeds("study", *options, "--out", "plan.h5")
        self.assertIn("holds this study already", again.stderr)
        tuned = [self.karat("tune", "--from", name, "--gpu", "H20", "--candidates", "fpsattention", "--json")
                 for name in ("plan.h5", "one.h5")]
        self.assertEqual(tuned[0].returncode, tuned[1].returncode)
        self.assertEqual(tuned[0].stdout.replace("plan.h5", "one.h5"), tuned[1].stdout)
        # With a cell missing it is another study, and says so.
        os.remove(self.path("plan/results/0000/p0.s5.l15.h0.json"))
        self.fails(3, "1 of 8", "--partial", arguments=["sweep", "merge", "plan", "-o", "part.h5"])
        self.assertEqual(self.karat("sweep", "merge", "plan", "-o", "part.h5", "--partial").returncode, 1)
        with h5py.File(self.path("part.h5")) as part:
            self.assertEqual(json.loads(part.attrs["study"])["missing"], ["p0.s5.l15.h0"])
            self.assertEqual(len(part["jobs/prompt"]), 7)

    def test_arrays_and_mpi_give_the_same_bytes(self):
        self.planned(lease=1, trial={"shards": 40, "milliseconds": 5})
        self.run_plan("plan")
        whole = self.merged("plan", ".json")
        self.copy_of("plan", "array")
        tasks = [self.runner("array", "--slurm", env={**os.environ, "SLURM_ARRAY_TASK_ID": str(3 + 2 * task),
                                                      "SLURM_ARRAY_TASK_COUNT": "7", "SLURM_ARRAY_TASK_MIN": "3",
                                                      "SLURM_ARRAY_TASK_STEP": "2"}) for task in range(7)]
        for task in tasks:
            task.wait()
            task.stderr.close()
        self.assertEqual(self.merged("array", ".json"), whole)
        self.assertEqual(sum(self.logged("array").values()), 40)
        self.fails(2, "--slurm", "SLURM_ARRAY_TASK_ID", arguments=["sweep", "run", "array", "--slurm"])
        self.check_mpi(whole)

    def check_mpi(self, whole):
        if not shutil.which("mpirun"):
            self.skipTest("no mpirun")
        self.copy_of("plan", "mpi")
        mpirun = ["mpirun", "-n", "4", "--oversubscribe", "--allow-run-as-root", "--mca", "btl", "self,vader",
                  KARAT, "sweep", "run", "mpi", "--mpi", "--json"]
        done = subprocess.run(mpirun, cwd=self.folder, capture_output=True, text=True)
        if "built without MPI" in done.stderr:
            self.skipTest("built without MPI")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["made"], 40)
        self.assertEqual(sum(self.logged("mpi").values()), 40)
        self.assertEqual(self.merged("mpi", ".json"), whole)
        self.write("spec.json", {"schema": "karat.sweep_spec", "version": 1, "threads": 1, "lease": 1,
                                 "name": "spec", "trial": {"shards": 40, "milliseconds": 100}})
        self.copy_of("plan", "killed")
        mpirun[mpirun.index("mpi")] = "killed"
        job = subprocess.Popen(mpirun, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while sum(name[0] != "." for name in os.listdir(self.path("killed/results/0000"))) < 4:
            self.assertIsNone(job.poll())
            time.sleep(0.01)
        ranks = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
        os.kill(int(ranks[-1]), signal.SIGKILL)
        job.wait()
        self.assertNotEqual(job.returncode, 0)
        self.assertLess(self.status("killed")["done"], 40)
        self.run_plan("killed")
        self.assertTrue(self.status("killed")["complete"])
        self.assertEqual(json.loads(self.merged("killed", ".json"))["shards"], json.loads(whole)["shards"])

    def test_checks_are_tabled(self):
        for name, seed in (("a", 1), ("b", 2)):
            os.makedirs(self.path("golden"), exist_ok=True)
            os.makedirs(self.path("kernel"), exist_ok=True)
            self.succeeds("make", "--recipe", "dense_f32", "--grid", "1,2,8", "--channels", "16", "--seed", seed,
                          "-o", "golden/%s.h5" % name, "--threads", 1)
        shutil.copy(self.path("golden/a.h5"), self.path("kernel/a.h5"))
        shutil.copy(self.path("golden/a.h5"), self.path("kernel/b.h5"))
        self.planned(check={"golden": "golden", "candidates": ["kernel"]})
        os.remove(self.path("kernel/a.h5"))  # an input vanishes after planning
        ran = self.karat("sweep", "run", "plan")
        self.assertEqual(ran.returncode, 1)
        self.assertRegex(ran.stdout, r"1 made.*1 failed")
        self.assertRegex(ran.stdout, r"failed: kernel\.a: .*a\.h5: cannot be read: No such file")
        self.assertEqual(self.karat("sweep", "merge", "plan", "-o", "all.json").returncode, 1)
        table = json.loads(self.bytes_of("all.json"))["shards"]
        self.assertIn("No such file", table[0]["failed"])
        with open(self.path("plan/shards.tsv")) as file:
            command = shlex.split(file.readlines()[1].split("\t")[4])
        self.assertEqual(json.loads(self.karat(*command[1:]).stdout), table[1]["result"])
        self.assertEqual(table[1]["result"]["verdict"], "differs")
        shutil.copy(self.path("golden/a.h5"), self.path("kernel/a.h5"))
        self.assertIn("1 shard put back", self.succeeds("sweep", "retry", "plan").stdout)
        self.assertEqual(self.run_plan("plan")["made"], 1)
        self.assertEqual(json.loads(self.merged("plan", ".json"))["shards"][0]["result"]["verdict"], "matches")

    def test_signals_give_claims_back(self):
        self.planned(trial={"shards": 2, "milliseconds": 20000})
        runner = self.runner("plan")
        while not self.status("plan")["running"]:
            time.sleep(0.02)
        runner.terminate()
        self.assertEqual(runner.wait(), 128 + signal.SIGTERM)
        self.assertIn(b"interrupted: what is finished is kept", runner.stderr.read())
        runner.stderr.close()
        self.assertEqual(os.listdir(self.path("plan/claims")), [])
        self.assertEqual(self.status("plan")["open"], 2)

    @unittest.skipUnless(MOUNTS, "no mounts here")
    def test_a_full_disk_loses_nothing(self):
        self.planned(golden={"recipes": ["dense_f32"], "tap": "none",
                             "cases": {"grid": [1, 4, 8], "head_dim": 16, "seed": "0-7"}})
        self.copy_of("plan", "roomy")
        self.run_plan("roomy")
        size = max(entry.stat().st_size for entry in os.scandir(self.path("roomy/results/0000")))
        script = ("mount -t tmpfs -o size=%dk none full && cp -r plan full/ && cd full && "
                  "'%s' sweep run plan; echo code $?; ls plan/results/*/*.h5 | wc -l; ls plan/failed | wc -l; "
                  "ls plan/claims | wc -l; mount -o remount,size=20m . ; '%s' sweep run plan --json; "
                  "'%s' sweep status plan" % (80 + 4.5 * size / 1024, KARAT, KARAT, KARAT))
        os.mkdir(self.path("full"))
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=self.folder, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "code 3", done.stdout + done.stderr)
        made, failed, claims = (int(line) for line in lines[1:4])
        self.assertTrue(0 < made < 8, made)
        self.assertEqual((failed, claims), (0, 0))
        error = [line for line in done.stderr.splitlines() if line.startswith("karat: ")]
        self.assertEqual(len(error), 1, done.stderr)
        self.assertRegex(error[0], "No space left|is full")
        self.assertIn('"made": %d' % (8 - made), done.stdout)
        self.assertIn("8 of 8 shards done", done.stdout)

    @unittest.skipUnless(MOUNTS, "no mounts here")
    def test_a_plan_that_may_only_be_read(self):
        self.planned(trial={"shards": 3})
        script = ("mount --bind plan plan && mount -o remount,ro,bind plan && "
                  "'%s' sweep status plan; '%s' sweep run plan" % (KARAT, KARAT))
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("0 of 3 shards done", done.stdout)
        self.assertRegex(done.stderr, r"^karat: .*claims.*Read-only file system; .+\n$")

    @unittest.skipUnless(MOUNTS and allowed("unshare", "-rmn", "true"), "no namespaces here")
    def test_nodes_of_their_own(self):
        """Two runners that share nothing but a folder: networks, mounts and host names of their own."""
        self.planned(lease=1, trial={"shards": 30, "milliseconds": 20})
        os.mkdir(self.path("elsewhere"))
        nodes = [subprocess.Popen(
            ["unshare", "-rmnu", "sh", "-c", "hostname node%d; mount --bind '%s' '%s' && exec '%s' sweep run elsewhere" %
             (node, self.path("plan"), self.path("elsewhere"), KARAT)],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for node in (1, 2)]
        time.sleep(0.3)
        nodes[0].kill()
        for node in nodes:
            node.communicate()
        self.run_plan("plan")
        status = self.status("plan")
        self.assertTrue(status["complete"])
        self.assertIn("node2", status["hosts"])

    def test_one_line_for_what_is_wrong(self):
        self.fails(2, "did you mean karat sweep status?", arguments=["sweep", "stauts"])
        self.fails(2, "names no command", arguments=["sweep"])
        self.fails(3, "no.json", arguments=["sweep", "plan", "no.json", "-o", "p"])
        self.planned(trial={"shards": 3})
        self.fails(2, "--shard", "2/7", arguments=["sweep", "run", "plan", "--shard", "3"])
        self.fails(2, "--shard", arguments=["sweep", "run", "plan", "--shard", "4/3"])
        self.fails(2, "--mpi", "--slurm", arguments=["sweep", "run", "plan", "--mpi", "--slurm"])
        self.fails(2, "did you mean t0000001?", arguments=["sweep", "run", "plan", "--only", "t000001"])
        for command in ("run", "retry"):
            self.fails(2, "--only", "names no shard", arguments=["sweep", command, "plan", "--only", ""])
        self.fails(3, "holds no plan", arguments=["sweep", "status", "."])
        self.fails(3, "no result", arguments=["sweep", "merge", "plan", "-o", "a.json", "--partial"])
        self.write("spec.json", {"schema": "karat.sweep_spec", "version": 2, "trial": {}})
        self.fails(2, "version", "karat.sweep_spec 1", arguments=["sweep", "plan", "spec.json", "-o", "p"])
        self.write("spec.json", {"schema": "karat.sweep_spec", "version": 1, "trial": {"shards": 4}})
        self.fails(3, "another spec", arguments=["sweep", "plan", "spec.json", "-o", "plan"])
        self.assertEqual(self.run_plan("plan")["made"], 3)


if __name__ == "__main__":
    unittest.main()
