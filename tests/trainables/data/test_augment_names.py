"""Augmentations by name, and the user's own."""

import hashlib
import re
from pathlib import Path

import pytest

from pruning.user_error import UserError
from trainables.data.augment_names import (
    check_own_functions,
    digest_own_functions,
    find_own_functions,
    import_own_function,
    parse_augment,
)

OWN = "tests.trainables.data.own_augmentations"


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("none", "none"),
        ("crop_flip", "crop_flip"),
        (["resized_crop"], "resized_crop"),
        (["resized_crop", "trivial_augment"], ("resized_crop", "trivial_augment")),
        (["randaugment", "a.b:c", "random_erasing"], ("randaugment", "a.b:c", "random_erasing")),
        ("a:b", "a:b"),
        (None, None),
    ],
)
def test_a_name_or_a_list_of_names(written: object, parsed: object) -> None:
    assert parse_augment(written) == parsed


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("crop_flop", "no augmentation 'crop_flop'; did you mean 'crop_flip'?"),
        ("sheep", "no augmentation 'sheep'; there are: none, crop, crop_flip, resized_crop"),
        ([], "the list must not be empty; write none to augment nothing"),
        (["crop", "none"], "'none' must stand alone"),
        (["crop", "resized_crop"], "choose one of 'crop' and 'resized_crop'"),
        ("a b:c", "an augmentation of your own is named 'package.module:function'"),
        ("a.b:", "an augmentation of your own is named 'package.module:function'"),
        (3, "must be a name or a list of names, but got 3"),
        (["crop", 3], "must be a name or a list of names, but got ['crop', 3]"),
    ],
)
def test_what_cannot_be_is_refused(written: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_augment(written)


def test_own_functions_are_found_and_imported() -> None:
    augments = (f"{OWN}:noisy", "crop", ("resized_crop", f"{OWN}:as_it_is", f"{OWN}:noisy"))
    assert find_own_functions(augments) == (f"{OWN}:as_it_is", f"{OWN}:noisy")
    function = import_own_function(f"{OWN}:as_it_is")
    assert callable(function) and function(3) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:f", "cannot import 'no_such_module'.* is it on PYTHONPATH?"),
        (f"{OWN}:noisi", "no function 'noisi' in .*; did you mean .*:noisy'?"),
        (f"{OWN}:not_callable", "no function 'not_callable' in"),
    ],
)
def test_a_function_that_is_missing_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        digest_own_functions([name])
    assert "\n" not in str(error.value)


def test_a_module_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_augmentations.py").write_text("raise SystemExit('over\\nout')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"\(SystemExit: over\); mend it, or what it imports"):
        import_own_function("failing_augmentations:f")


def test_the_digest_is_that_of_the_file() -> None:
    name = f"{OWN}:noisy"
    path = Path(__file__).with_name("own_augmentations.py")
    digests = digest_own_functions(["crop", ("resized_crop", name)])
    assert digests == {name: hashlib.sha256(path.read_bytes()).hexdigest()}
    assert digest_own_functions(["crop", "resized_crop"]) == {}
    check_own_functions(digests)
    with pytest.raises(UserError, match="is not the one that the study was planned with"):
        check_own_functions({name: "0" * 64})


def test_an_augmentation_of_the_standard_library_without_a_file_is_refused() -> None:
    with pytest.raises(UserError, match="must lie in a .py file, but 'math' is none"):
        digest_own_functions(["math:sqrt"])
