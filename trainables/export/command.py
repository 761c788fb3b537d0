"""`python -m trainables.export KEY --study STUDY_DIR`:
the words of the command, its messages and its exit codes."""

from __future__ import annotations

import argparse
from typing import get_args

from trainables.command_line import DONE, Parser, check_python, run_command
from trainables.export.export_network import export
from trainables.export.formats import ExportForm, FileFormat


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(
        prog="python -m trainables.export",
        description="Export the network of a done trial, with a model card.",
    )
    parser.add_argument("key", metavar="KEY", help="of the trial, or the unique beginning of one")
    parser.add_argument(
        "--study", metavar="STUDY_DIR", required=True, help="study directory, or its URI"
    )
    parser.add_argument(
        "--to", choices=get_args(FileFormat), default="safetensors", help="default: %(default)s"
    )
    parser.add_argument(
        "--form",
        choices=get_args(ExportForm),
        help="dense: zeros in the dense shapes; masks: the same with the masks apart; slim: "
        "removed channels are gone (default: slim where channels were removed, else dense)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="a folder that is empty or not there (exports/<key>-<to>-<form>)",
    )
    parser.add_argument(
        "--level",
        metavar="N",
        type=int,
        help="of a trial that measured several (default: the last)",
    )
    parser.add_argument(
        "--again", action="store_true", help="train the trial again if the study did not save it"
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="with --again: where the images are (default: as the study)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; prints the folder. See `trainables.command_line` for the exit codes."""
    check_python()
    options = make_parser().parse_args(arguments)

    def work() -> int:
        folder = export(
            options.key,
            options.study,
            to=options.to,
            form=options.form,
            out=options.out,
            level=options.level,
            again=options.again,
            data_dir=options.data_dir,
        )
        print(folder)
        return DONE

    # Networks and methods raise ValueErrors where they cannot do what is asked of them.
    return run_command(
        work,
        interrupted=lambda: "interrupted; nothing was written",
        user_errors=(ValueError, OSError),
    )
