"""What clusters/gcp_account.sh asks of GCP, with a stand-in for its command."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "clusters" / "gcp_account.sh"


def run_script(folder: Path) -> list[str]:
    """The calls of gcloud, without what each of them begins with."""
    (folder / "gcloud").write_text(f'#!/bin/sh\necho "$*" >> {folder}/calls\n')
    (folder / "gcloud").chmod(0o755)
    subprocess.run(
        ["bash", str(SCRIPT), "my-project", "my-bucket", "203.0.113.7/32"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        check=True,
    )
    calls = (folder / "calls").read_text().splitlines()
    assert all(call.startswith("--project my-project --quiet ") for call in calls)
    return [call.removeprefix("--project my-project --quiet ") for call in calls]


def test_deleted_checkpoints_are_not_kept_in_the_bucket(tmp_path: Path) -> None:
    """One a minute and trial would be billed for seven days."""
    assert "storage buckets update gs://my-bucket --clear-soft-delete" in run_script(tmp_path)


def test_ssh_opens_to_one_address_and_both_roles_use_the_bucket(tmp_path: Path) -> None:
    calls = run_script(tmp_path)
    (ssh,) = (call for call in calls if "tcp:22" in call)
    assert ssh.endswith(" --source-ranges=203.0.113.7/32")
    users = [call for call in calls if "buckets add-iam-policy-binding gs://my-bucket" in call]
    assert [name for name in ("head", "worker") if any(name in call for call in users)] == [
        "head",
        "worker",
    ]
