"""The completion script of a command for a shell: options, methods, presets, shells, files."""

import argparse
import re

import shtab

from pruning import registry
from sweeps.loggers.selection import PACKAGES
from sweeps.search import search_spec as search_spec
from sweeps.study_file import study

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
  local at name
  for ((at = 1; at < COMP_CWORD; at++)); do
    name="${COMP_WORDS[at]##*/}"; name="_shtab_${name//[^a-zA-Z0-9_]/_}"
    if declare -F "$name" > /dev/null; then
      COMP_WORDS=("${COMP_WORDS[@]:at}"); COMP_CWORD=$((COMP_CWORD - at)); "$name"; return
    fi
    [[ "${COMP_WORDS[at]}" == -* ]] || break
  done
}
complete -o default -F _pruning_python python python3
"""


def write_completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that makes a shell complete the options of a command.

    Args:
        parser: of the command; `choices` and `complete` are put into it.
        shell: bash, zsh, fish or tcsh.
    """
    presets = study.presets() if "full" in parser.prog else search_spec.presets()
    preamble = ""
    for action in parser._actions:
        option = action.option_strings[-1] if action.option_strings else ""
        if option == "--preset":
            action.choices = sorted(presets)
        elif option in ("--methods", "--log"):
            names = registry.names() if option == "--methods" else list(PACKAGES)
            function = f"_pruning_{option[2:]}"
            preamble += f'{function}() {{ _pruning_list "$1" "{" ".join(names)}"; }}\n'
            listed = f"_values -s , {option[2:]} {' '.join(names)}"
            lines = f"({' '.join(['echo', *names])} | tr ' ' '\\n')"
            action.complete = {"bash": function, "zsh": listed, "fish": lines}  # type: ignore[attr-defined]
        elif option == "--strategy":
            action.choices = sorted(search_spec.NAMED)
        elif option in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif option in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    prefix = re.sub(r"\W", "_", parser.prog)
    if shell != "bash":
        return str(shtab.complete(parser, shell, root_prefix=prefix))
    return (
        str(shtab.complete(parser, shell, root_prefix=prefix, preamble=BASH_LIST + preamble))
        + BASH_PYTHON
    )
