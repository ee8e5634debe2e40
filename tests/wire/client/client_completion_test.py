"""Runs the completion scripts in bash and zsh and checks the offered words."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

PROAD = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "client" / "proad"

# What bash does on a tab: the words, the function that `complete -p` names, its answers one a line; FILES when it
# has none and leaves the word to file names.
TAB = r"""
source /dev/fd/3
[[ $(complete -p proad) == *"-F _proad"* ]] || { echo "no completion for proad"; exit 1; }
compopt() { [[ "$*" == "+o default" ]] && files=""; }
files=FILES
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_proad proad "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
[[ ${COMPREPLY[*]} ]] && files=""
printf '%s\n' "${COMPREPLY[@]}" $files
"""

# The same in zsh, whose own functions are replaced by ones that print what they are given.
ZSH_TAB = r"""
compdef() { :; }
source /dev/fd/3
compadd() { shift; print -l -- "$@"; }
_files() { print FILES; }
_describe() { local name="${@[-1]}"; print -l -- "${(@P)name}"; }
words=("$@")
CURRENT=$#
_proad
"""


def script(shell):
    return subprocess.run([PROAD, "completion", shell], capture_output=True, text=True, check=True, timeout=60).stdout


def ask(shell, code, text, words):
    """The lines that `code` prints, with the completion script at descriptor 3."""
    with tempfile.TemporaryFile("w+") as file:
        file.write(text)
        file.flush()
        file.seek(0)
        done = subprocess.run([shell, "-c", f"exec 3<&{file.fileno()}\n{code}", shell, *words], text=True, timeout=60,
                              capture_output=True, pass_fds=[file.fileno()])
    assert done.returncode == 0 and not done.stderr, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.split("\n")[:-1]


class BashTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.script = script("bash")

    def complete(self, *words):
        return [line for line in ask("bash", TAB, self.script, ["proad", *words]) if line]

    def test_commands(self):
        offered = self.complete("")
        for command in ("detect", "models", "train", "jobs", "doctor", "import", "bench"):
            self.assertIn(command, offered)
        self.assertNotIn("completion", offered, "it is hidden")
        self.assertNotIn("FILES", offered)
        self.assertEqual(self.complete("de"), ["detect"])
        self.assertEqual(self.complete("models", "ro"), ["rollback"])
        self.assertEqual(self.complete("nonsense", "ro"), [])

    def test_every_command_in_the_help_is_offered(self):
        text = subprocess.run([PROAD, "--help"], capture_output=True, text=True, check=True).stdout
        commands = re.findall(r"^  (\w+) ", text.split("Subcommands:")[1], re.MULTILINE)
        self.assertGreater(len(commands), 8)
        self.assertEqual(self.complete(""), commands)

    def test_options(self):
        self.assertIn("--version", self.complete("-"))
        self.assertEqual(self.complete("detect", "--o"), ["--overlay", "--out"])
        self.assertIn("--expect", self.complete("models", "activate", "-"))
        self.assertNotIn("--expect", self.complete("models", "list", "-"))
        self.assertIn("--health", self.complete("doctor", "--"))

    def test_every_option_in_a_commands_help_is_offered(self):
        text = subprocess.run([PROAD, "train", "--help"], capture_output=True, text=True, check=True).stdout
        options = set(re.findall(r"(?<=[ ,])--[\w-]+(?=[ ,\n])", text.split("Options:")[1].split("\n\n")[0]))
        self.assertGreater(len(options), 20)
        self.assertLessEqual(options, set(self.complete("train", "-")))

    def test_values(self):
        words = ["float32", "png16", "u16", "u8"]
        self.assertEqual(self.complete("detect", "--heatmap", ""), words)
        self.assertEqual(self.complete("detect", "--heatmap", "=", ""), words)
        self.assertEqual(self.complete("detect", "--heatmap", "="), words)
        self.assertEqual(self.complete("detect", "--heatmap", "p"), ["png16"])
        self.assertEqual(self.complete("detect", "--out", ""), ["FILES"])
        # The value is no command, and what follows it is completed as before.
        self.assertIn("--server", self.complete("detect", "--out", "models", "--s"))
        self.assertEqual(self.complete("models", "list", "--server", "x:1", "--js"), ["--json"])

    def test_files_are_offered_for_arguments_only(self):
        self.assertEqual(self.complete("detect", ""), ["FILES"])
        self.assertEqual(self.complete("import", "--encoder", ""), ["FILES"], "proad-trainer's options are not known here")
        self.assertEqual(self.complete("models", ""), ["list", "show", "activate", "rollback", "load", "unload", "delete"])
        self.assertEqual(self.complete("doctor", ""), [])

    def test_another_shell_is_refused(self):
        done = subprocess.run([PROAD, "completion", "fish"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("'fish' is not one of bash, zsh", done.stderr)


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
class ZshTest(unittest.TestCase):
    def test_completion(self):
        text = script("zsh")
        self.assertTrue(text.startswith("#compdef proad\n"))

        def complete(*words):
            return ask("zsh", ZSH_TAB, text, ["proad", *words])

        self.assertIn("detect:Inspect images: files, or all images below folders", complete(""))
        self.assertEqual(complete("detect", "--heatmap", ""), ["float32", "png16", "u16", "u8"])
        self.assertEqual(complete("detect", ""), ["FILES"])
        self.assertTrue(any(line.startswith("--expect:") for line in complete("models", "activate", "-")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
