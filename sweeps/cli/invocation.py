"""One call of a command: the command line that continues it, and what `--json` prints of it.
Imports nothing heavy."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]  # the folder of the commands
# Options that continuing must not repeat: it neither deletes results nor retries what failed.
ONCE = ("--fresh", "--retry-failed")


@dataclass
class Invocation:
    """A command as it was called.

    words: its arguments, as they would be typed again. output: the JSON object of `--json`.
    """

    program: str
    words: list[str]
    output: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arguments: Sequence[str] | None, *, script: str = "") -> "Invocation":
        """The call with these arguments; None: those that this process was started with.

        Args:
            script: the file name of the command. A process that was started as another one, as a
                notebook is, continues with that script.
        """
        program = sys.argv[0]
        if script and Path(program).name != script:
            program = str(SCRIPTS / script)
        return cls(program, list(sys.argv[1:] if arguments is None else arguments))

    def replace_option(self, option: str, words: Sequence[str]) -> None:
        """Put words in the place of an option, in the command line that continues this call."""
        index = self.words.index(option) if option in self.words else len(self.words)
        self.words[index : index + 1] = words

    def command_to_continue(self, *further: str) -> str:
        """The command line that continues this call, with further options, as a shell takes it."""
        words = [word for word in self.words if word not in ONCE]
        return shlex.join(["python", self.program, *words, *further])

    def part(self, name: str) -> "Invocation":
        """The same call, for a part of its work whose output is an object within the whole."""
        return Invocation(self.program, self.words, self.output.setdefault(name, {}))
