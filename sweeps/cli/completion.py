"""The completion script of a command for a shell: options, methods, presets, shells, files."""

import argparse
import re
from collections.abc import Iterable, Mapping

import shtab

from pruning import registry
from sweeps.loggers.selection import PACKAGES

FILES = ("--study", "--search", "--method-path")
FOLDERS = ("--data-dir", "--out")

# Completes the last of a list of names separated by commas.
BASH_LIST = """
_pruning_list() {
  local before="" last="$1" name
  [[ "$1" == *,* ]] && { before="${1%,*},"; last="${1##*,}"; }
  for name in $2; do [[ "$name" == "$last"* ]] && printf '%s\\n' "$before$name"; done
}
"""

# In `python sweeps/full_study.py ...` the command is python: hand what follows it to the completion
# of the script.
BASH_PYTHON = """
_pruning_python() {
  local index name
  for ((index = 1; index < COMP_CWORD; index++)); do
    name="${COMP_WORDS[index]##*/}"; name="_shtab_${name//[^a-zA-Z0-9_]/_}"
    if declare -F "$name" > /dev/null; then
      COMP_WORDS=("${COMP_WORDS[@]:index}"); COMP_CWORD=$((COMP_CWORD - index)); "$name"; return
    fi
    [[ "${COMP_WORDS[index]}" == -* ]] || break
  done
}
complete -o default -F _pruning_python python python3
"""


def write_completion(
    parser: argparse.ArgumentParser, shell: str, words: Mapping[str, Iterable[str]]
) -> str:
    """The script that makes a shell complete the options of a command.

    Args:
        parser: of the command; `choices` and `complete` are put into it.
        shell: bash, zsh, fish or tcsh.
        words: that an option of this command takes, e.g. the names of its presets.
    """
    lists = {"--methods": registry.list_methods(), "--log": list(PACKAGES)}
    preamble = ""
    for action in parser._actions:
        option = action.option_strings[-1] if action.option_strings else ""
        if option in words:
            action.choices = sorted(words[option])
        elif option in lists:
            function = f"_pruning_{option[2:]}"
            names = " ".join(lists[option])
            preamble += f'{function}() {{ _pruning_list "$1" "{names}"; }}\n'
            action.complete = {  # type: ignore[attr-defined]
                "bash": function,
                "zsh": f"_values -s , {option[2:]} {names}",
                "fish": f"(echo {names} | tr ' ' '\\n')",
            }
        elif option in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif option in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    prefix = re.sub(r"\W", "_", parser.prog)
    if shell != "bash":
        return str(shtab.complete(parser, shell, root_prefix=prefix))
    script = shtab.complete(parser, shell, root_prefix=prefix, preamble=BASH_LIST + preamble)
    return str(script) + BASH_PYTHON
