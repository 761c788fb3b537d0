"""Finds what is missing in a cluster file before anything is launched: `python clusters/check.py
cluster.yaml`.

Ray checks names and types when it reads the file, but finds a missing folder or token only after
the head is running.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # a fresh checkout runs uninstalled

from pruning.user_error import UserError
from sweeps.study_file.yaml_reader import parse_yaml, read_text
from trainables.command_line import DONE, Parser, run_command

BLANK = "FILL-IN"
CLUSTER_FILES = ("cluster.yaml", "clusters/gcp.yaml", "clusters/local.yaml")


def check_cluster_file(path: str | Path) -> dict[str, Any]:
    """The cluster file, with Ray's defaults filled in.

    Raises:
        UserError: a value is not filled in, a mounted file is missing, or Ray refuses the file.
    """
    from jsonschema import ValidationError  # type: ignore[import-untyped]
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        text = read_text(path)
        raw = parse_yaml(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"cannot read {path}: {error}") from None
    if not isinstance(raw, dict) or "provider" not in raw:
        raise UserError(
            f"{path} is no cluster file of `ray up`: it has no provider; those of the project are "
            f"{', '.join(CLUSTER_FILES)}"
        )
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.split("#")[0].strip()
        if BLANK in code:
            raise UserError(f"{path}, line {number}: {BLANK} stands for a value of yours: {code}")
    try:
        config: dict[str, Any] = prepare_config(raw)
        validate_config(config)
    except ValidationError as error:
        place = "".join(f" {part}:" for part in error.absolute_path)
        raise UserError(f"{path}:{place} {error.message}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: {error}") from None
    key = config["auth"].get("ssh_private_key")
    if key and not Path(key).expanduser().is_file():
        raise UserError(f"{path}: auth: ssh_private_key: '{key}' is missing; ssh-keygen makes one")
    for remote, local in config["file_mounts"].items():
        if not Path(local).expanduser().exists():
            hint = (
                "ray get-auth-token --generate"
                if "auth_token" in remote
                else "run this in the project's folder"
            )
            raise UserError(f"{path}: '{local}', which goes to {remote}, is missing; {hint}")
    return config


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = Parser(prog="python clusters/check.py", description="Check cluster files of Ray.")
    parser.add_argument("files", metavar="FILE", nargs="+", help="such as cluster.yaml")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Check the named files; 0 if they can be launched, else 2 and one line."""
    given = make_parser().parse_args(arguments)
    return run_command(lambda: _check_all(given.files), interrupted=lambda: "interrupted")


def _check_all(paths: list[str]) -> int:
    for path in paths:
        config = check_cluster_file(path)
        print(f"{path}: complete; at most {config['max_workers']} workers")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
