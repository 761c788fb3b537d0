"""Finds what is missing in a cluster file before anything is launched: `python clusters/check.py
cluster.yaml`.

Ray checks names and types when it reads the file, but finds a missing folder or token only after
the head is running.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

BLANK = "FILL-IN"


class Fault(ValueError):
    """What is wrong with a cluster file, in one line with the fix."""


def check(path: str | Path) -> dict[str, Any]:
    """The cluster file, with Ray's defaults filled in.

    Raises:
        Fault: a value is not filled in, a mounted file is missing, or Ray refuses the file.
    """
    from jsonschema import ValidationError  # type: ignore[import-untyped]
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        text = Path(path).read_text(encoding="utf-8")
        raw = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise Fault(f"cannot read {path}: {' '.join(str(error).split())}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.split("#")[0].strip()
        if BLANK in code:
            raise Fault(f"{path}, line {number}: {BLANK} stands for a value of yours: {code}")
    try:
        config: dict[str, Any] = prepare_config(raw)
        validate_config(config)
    except ValidationError as error:
        place = "".join(f" {part}:" for part in error.absolute_path)
        raise Fault(f"{path}:{place} {error.message}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Fault(f"{path}: {error}") from None
    for remote, local in config["file_mounts"].items():
        if not Path(local).expanduser().exists():
            hint = (
                "ray get-auth-token --generate"
                if "auth_token" in remote
                else "run this in the project's folder"
            )
            raise Fault(f"{path}: '{local}', which goes to {remote}, is missing; {hint}")
    return config


def main(arguments: list[str]) -> int:
    """Check the named files; 0 if they can be launched, else 2 and one line."""
    if not arguments:
        print("usage: python clusters/check.py cluster.yaml", file=sys.stderr)
        return 2
    for path in arguments:
        try:
            config = check(path)
        except Fault as fault:
            print(f"error: {fault}", file=sys.stderr)
            return 2
        print(f"{path}: complete; at most {config['max_workers']} workers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
