"""The command frame: help, versions, exit codes, streams, suggestions."""
import json
import os
import pty
import subprocess
import unittest

from karat import KARAT, Case

COMMANDS = ("attend", "check", "inspect", "make", "mask", "recipes")


class Frame(Case):
    def test_help_lists_every_command_and_exit_codes(self):
        text = self.succeeds("--help").stdout
        for command in COMMANDS:
            self.assertIn("  " + command + " ", text)
        self.assertIn("0 match, 1 mismatch or undecided, 2 usage, 3 input or output, 4 internal", text)

    def test_every_command_has_help_on_stdout(self):
        for command in COMMANDS:
            done = self.succeeds(command, "--help")
            self.assertIn("karat " + command, done.stdout)
            self.assertEqual(done.stderr, "")
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)

    def test_version(self):
        self.assertRegex(self.succeeds("--version").stdout, r"^karat \d+\.\d+\.\d+\n$")

    def test_no_command_is_a_usage_error(self):
        self.assertEqual(self.karat().returncode, 2)

    def test_unknown_command_suggests(self):
        self.fails(2, "mkae", "karat make", arguments=["mkae"])

    def test_unknown_option_suggests(self):
        self.fails(2, "--recip", "--recipe", arguments=["make", "--recip", "fpsattention"])

    def test_missing_value_and_superfluous_argument(self):
        self.fails(2, "recipe", arguments=["make", "--recipe"])
        self.fails(2, "too many", arguments=["check", "a", "b", "c", "d"])

    def test_json_goes_to_stdout_and_narration_to_stderr(self):
        done = self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,3,4", "--channels", 32,
                             "-o", "g.h5", "--json")
        report = json.loads(done.stdout)
        self.assertEqual((report["schema"], report["version"]), ("karat.make", 1))
        self.assertIn("GMAC/s".replace("G", ""), done.stderr)
        self.assertIn("peak memory", done.stderr)

    def test_quiet_says_nothing(self):
        done = self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,3,4", "--channels", 32,
                             "-o", "g.h5", "--quiet")
        self.assertEqual((done.stdout, done.stderr), ("", ""))

    def test_no_progress_bar_without_a_terminal(self):
        done = self.succeeds("make", "--recipe", "fpsattention", "--grid", "4,8,8", "-o", "g.h5")
        self.assertNotIn("\r", done.stderr)
        self.assertNotIn("\033", done.stdout + done.stderr)

    def test_progress_bar_on_a_terminal(self):
        main, side = pty.openpty()
        child = subprocess.Popen(
            [KARAT, "make", "--recipe", "fpsattention", "--grid", "6,16,16", "-o", "g.h5"],
            cwd=self.folder, stderr=side)
        os.close(side)
        seen = b""
        try:
            while chunk := os.read(main, 4096):
                seen += chunk
        except OSError:  # Linux says so when the other side is closed
            pass
        self.assertEqual(child.wait(), 0)
        self.assertIn(b"%", seen)
        self.assertIn(b"/s", seen)
        self.assertIn(b"left", seen)

    def test_colour_needs_a_terminal_and_obeys_no_color(self):
        self.succeeds("make", "--recipe", "fpsattention", "--grid", "2,3,4", "--channels", 32,
                      "-o", "g.h5", "--quiet")
        for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            main, side = pty.openpty()
            variables = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
            child = subprocess.Popen([KARAT, "check", "g.h5", "g.h5"], cwd=self.folder, stdout=side,
                                     env={**variables, **environment})
            os.close(side)
            seen = b""
            try:
                while chunk := os.read(main, 4096):
                    seen += chunk
            except OSError:
                pass
            self.assertEqual(child.wait(), 0)
            self.assertEqual(b"\033[" in seen, coloured)

    def test_a_full_disk_behind_stdout(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([KARAT, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 3)
        self.assertIn("standard output", done.stderr)


if __name__ == "__main__":
    unittest.main()
