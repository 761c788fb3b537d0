"""What the options of the command line ask for: a checked study, and the directory of it."""

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

from pruning.user_error import UserError
from sweeps.cli.override import override
from sweeps.study_file.method_path import register_user_methods
from sweeps.study_file.study import StudySpec, build_study
from sweeps.study_file.study_reader import read_study_file, read_study_preset
from trainables.storage.bucket_uri import find_local_path, is_remote
from trainables.storage.store import Store


def read_study(options: Namespace, *, default_preset: str) -> StudySpec:
    """The study that the options ask for: a preset or a file, with what the other options change.

    Raises:
        UserError: anything in it is wrong.
    """
    preset = default_preset if options.preset is None and options.study is None else options.preset
    raw = read_study_file(options.study) if preset is None else read_study_preset(preset)
    where = Path(options.study).name if preset is None else f"preset {preset}"
    for assignment in options.set:
        override(raw, assignment)
    if options.methods is not None:
        _choose_methods(raw, split_list(options.methods))
    for name, number in (("sparsities", float), ("seeds", int)):
        if (text := getattr(options, name)) is not None:
            raw[name] = parse_numbers(text, number, f"--{name}")
    set_common_fields(raw, options)
    try:
        return build_study(raw, where=where)
    except UserError as error:
        raise UserError(_name_changes(str(error), where, options)) from None


def _name_changes(message: str, where: str, options: Namespace) -> str:
    """The message of a study that is wrong, which names its file, with the options that changed
    what is wrong in it, or all that changed it where the message names no field of theirs."""
    flags = {
        f"--{name.replace('_', '-')} {value}": name
        for name in (
            "methods",
            "sparsities",
            "seeds",
            "model",
            "weights",
            "cpus_per_trial",
            "gpus_per_trial",
        )
        if (value := getattr(options, name)) is not None
    }
    flags |= {
        f"--set {assignment}": assignment.partition("=")[0].strip().partition(".")[0]
        for assignment in options.set
    }
    told = message.removeprefix(f"{where}: ")
    named = [flag for flag, field in flags.items() if field in re.split(r"[^a-z_]", told)]
    if not flags or told == message:
        return message
    return f"{where} with {' '.join(named or flags)}: {told}"


def set_common_fields(raw: dict[str, Any], options: Namespace) -> None:
    """Put what the options say of resources, data, the network and the user's methods into a study
    or a search, in place.

    Raises:
        UserError: no folder can be named so.
    """
    for name in ("cpus_per_trial", "gpus_per_trial"):
        if (value := getattr(options, name)) is not None:
            override(raw, f"resources.{name}={value}")
    if options.data_dir is not None:
        raw["data_dir"] = options.data_dir
    if isinstance(raw.get("data_dir"), str):
        raw["data_dir"] = resolve_folder(
            raw["data_dir"], "data_dir" if options.data_dir is None else "--data-dir"
        )
    if options.model is not None:
        raw["model"] = options.model
    if options.weights is not None:
        given = raw.get("weights")
        others = given if isinstance(given, dict) else {}
        kept = {name: others[name] for name in ("head", "fresh") if name in others}
        raw["weights"] = {**kept, "source": options.weights}
    further = raw.get("also")
    for setting in [raw, *(further if isinstance(further, list) else [])]:
        if isinstance(setting, dict):
            _find_weights_file(setting)
    set_method_path(raw, options)


def _find_weights_file(setting: dict[str, Any]) -> None:
    """Give the source of a setting's weights its whole path, in place, where it is a file here."""
    given = setting.get("weights")
    name = next(
        (name for name in ("source", "file") if isinstance(given, dict) and name in given), ""
    )
    source = given[name] if isinstance(given, dict) and name else given
    if not isinstance(source, str):
        return
    path, mark, key = source.partition("#")
    try:
        whole = Path(path).expanduser()
        if not (path.strip() and whole.exists()):
            return
        found = f"{whole.resolve()}{mark}{key}"
    except (OSError, ValueError, RuntimeError):  # no file has such a name
        return
    setting["weights"] = {**given, name: found} if isinstance(given, dict) else found


def set_method_path(raw: dict[str, Any], options: Namespace) -> None:
    """Put the user's method files into a study or a search, in place, with their whole paths.

    Raises:
        UserError: no file can be named so.
    """
    given = raw.get("method_path")
    listed = [given] if isinstance(given, str) else given or []
    if (
        isinstance(listed, list)
        and all(isinstance(path, str) for path in listed)
        and (listed or options.method_path)
    ):
        paths = [resolve_folder(path, "method_path") for path in listed]
        paths += [resolve_folder(path, "--method-path") for path in options.method_path]
        raw["method_path"] = list(dict.fromkeys(paths))


def register_listed_methods(options: Namespace) -> None:
    """Register the user's methods that the options and the study file name, for a list of methods:
    nothing else of the study file matters.

    Raises:
        UserError: a file holds no method, or cannot be read.
    """
    raw = read_study_file(options.study) if options.study is not None else {}
    set_method_path(raw, options)
    register_user_methods(raw.get("method_path"))


def find_store(options: Namespace, name: str) -> Store:
    """The study directory: `--out`, else `studies/<name>`.

    Raises:
        UserError: `--out` names none.
    """
    if options.out is None:
        return Store.at(Path("studies", name))
    folder = resolve_folder(options.out, "--out")
    try:
        return Store.at(folder)
    except ValueError as error:  # a URI of a kind that is not known
        raise UserError(f"--out: {error}") from None


def resolve_folder(text: str, name: str) -> str:
    """A local folder with its whole path, or a URI as it stands.

    Raises:
        UserError: no folder can be named so.
    """
    if not text.strip():
        raise UserError(f"{name} must name a folder, but got '{text}'")
    if is_remote(text):
        return text
    try:
        return str(find_local_path(text).expanduser().resolve())
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # no such user, a zero byte, a link to itself
        raise UserError(f"{name} must name a folder, but got '{text}': {error}") from None


def _choose_methods(raw: dict[str, Any], chosen: list[str]) -> None:
    """Keep only the chosen methods, each with the knobs the study gives it."""
    given = raw.get("methods")
    knobs: dict[Any, Any] = {}
    for item in given if isinstance(given, list) else [given]:
        if isinstance(item, dict):
            named = isinstance(item.get("name"), str)
            knobs |= {item["name"]: item.get("knobs")} if named else item
    raw["methods"] = [{name: knobs[name]} if knobs.get(name) else name for name in chosen]


def split_list(text: str) -> list[str]:
    """The parts of a list separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_numbers(text: str, kind: type[float] | type[int], option: str) -> list[float | int]:
    """Numbers separated by commas; none of an empty text.

    Raises:
        UserError: something else is among them.
    """
    try:
        return [kind(part) for part in split_list(text)]
    except ValueError:
        raise UserError(f"{option} takes numbers separated by commas, but got '{text}'") from None
