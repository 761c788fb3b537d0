"""Networks of the user that were edited between two launches."""

from pathlib import Path

import pytest

from pruning.user_error import UserError
from sweeps.planning.model_sources import (
    check_model_sources,
    digest_models,
    record_model_sources,
)
from trainables.storage.store import Store

MODELS = ["mynet:net", "resnet20", "torchvision:resnet18"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A study directory; mynet.py and what it imports lie in the current folder."""
    monkeypatch.setenv("PRUNING_USER_PATH", str(tmp_path))
    (tmp_path / "mynet.py").write_text("import blocks\n")
    (tmp_path / "blocks.py").write_text("WIDTH = 8\n")
    return Store.at(tmp_path / "out")


def test_only_networks_of_the_user_are_kept(store: Store) -> None:
    assert list(digest_models(MODELS)) == ["mynet:net"]
    assert record_model_sources(["resnet20"], store) == {} and not store.exists("models.json")
    assert record_model_sources(MODELS, store) == digest_models(MODELS)


def test_an_edited_file_that_the_network_imports_is_refused_in_one_line(
    store: Store, tmp_path: Path
) -> None:
    check_model_sources(MODELS, store)  # an older version recorded nothing
    record_model_sources(MODELS, store)
    check_model_sources(MODELS, store)
    (tmp_path / "blocks.py").write_text("WIDTH = 16\n")
    with pytest.raises(UserError) as caught:
        check_model_sources(MODELS, store)
    assert str(caught.value) == (
        f"{store.place()} holds trials of model 'mynet:net' as it was before its file, or one that "
        "this imports, was edited; bring it back, choose another --out, or --fresh to delete what "
        "is there"
    )
    (tmp_path / "blocks.py").write_text("WIDTH = 8\n")
    check_model_sources(MODELS, store)


def test_further_networks_are_added_and_a_record_that_is_cut_off_is_written_anew(
    store: Store, tmp_path: Path
) -> None:
    record_model_sources(MODELS, store)
    (tmp_path / "other.py").write_text("")
    record_model_sources(["other:net"], store)
    (tmp_path / "blocks.py").write_text("WIDTH = 16\n")
    with pytest.raises(UserError):
        check_model_sources(MODELS, store)
    store.write("models.json", b'{"mynet')
    check_model_sources(MODELS, store)
