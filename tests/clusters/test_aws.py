"""cluster.yaml through Ray's AWS node provider, against an emulated EC2, IAM and CloudFormation
(moto)."""

import ast
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ray.autoscaler._private.aws import config as aws_config
from ray.autoscaler._private.aws import utils as aws_utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
CACHES = (aws_utils.resource_cache, aws_utils.client_cache, aws_config._get_subnets_or_die)
GPUS = {"l4": "L4", "a10g": "A10G"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """The address of an emulator in a process of its own, as its state is one per process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert server.poll() is None and time.monotonic() < until, "the emulator did not start"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def account(emulator: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An account with clusters/aws_account.yaml in it; gives the stack's outputs."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    monkeypatch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ENDPOINT_URL": emulator,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "HOME": str(home),  # Ray writes the key pair there
    }.items():
        monkeypatch.setenv(name, value)
    for cache in CACHES:
        cache.cache_clear()
    stacks = boto3.client("cloudformation", REGION)
    stacks.create_stack(
        StackName="pruning",
        TemplateBody=(ROOT / "clusters" / "aws_account.yaml").read_text(),
        Parameters=[
            {"ParameterKey": "Bucket", "ParameterValue": "my-bucket"},
            {"ParameterKey": "SshFrom", "ParameterValue": "203.0.113.7/32"},
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (stack,) = stacks.describe_stacks(StackName="pruning")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    yield {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    monkeypatch.undo()
    for cache in CACHES:
        cache.cache_clear()


def read(group: str | None = None) -> dict[str, Any]:
    """cluster.yaml, with the security group filled in or not."""
    text = (ROOT / "cluster.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(text.replace("sg-FILL-IN", group) if group else text)
    return config


def launch(
    config: dict[str, Any], *names: str
) -> tuple[AWSNodeProvider, list[tuple[str, dict[str, Any]]]]:
    """Start one node of each named type as `ray up` and the autoscaler do; the provider and the
    calls it makes."""
    prepared = prepare_config(config)
    validate_config(prepared)
    ready = AWSNodeProvider.fillout_available_node_types_resources(
        AWSNodeProvider.bootstrap_config(prepared)
    )
    provider = AWSNodeProvider(ready["provider"], ready["cluster_name"])
    calls: list[tuple[str, dict[str, Any]]] = []
    for resource in (provider.ec2, provider.ec2_fail_fast):
        resource.meta.client.meta.events.register(
            "provide-client-params.ec2.*",
            lambda params, model, **_: calls.append((model.name, dict(params))),
        )
    for name in names:
        kind = "head" if name == ready["head_node_type"] else "worker"
        tags = {
            "ray-node-kind": kind,
            "ray-user-node-type": name,
            "ray-launch-config": "0",
            "ray-node-name": name,
        }
        assert (
            len(provider.create_node(ready["available_node_types"][name]["node_config"], tags, 1))
            == 1
        )
    return provider, calls


def requests(calls: list[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Launch requests by node type."""
    found = [params for name, params in calls if name == "RunInstances"]
    return {
        tags(request["TagSpecifications"][0])["ray-user-node-type"]: request for request in found
    }


def tags(holder: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in holder["Tags"]}


@dataclass
class Launched:
    """What the launch of a cluster asked of EC2 and made there, and what its end left."""

    calls: list[tuple[str, dict[str, Any]]]
    made: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    left: list[dict[str, Any]]


def list_instances() -> list[dict[str, Any]]:
    found = boto3.client("ec2", REGION).describe_instances()["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


@pytest.fixture(scope="module")
def launched(account: dict[str, str]) -> Launched:
    """A head and one worker of each type, launched, tagged, and the workers ended."""
    provider, calls = launch(read(account["SecurityGroup"]), "head", *GPUS)
    made = list_instances()
    groups = boto3.client("ec2", REGION).describe_security_groups()["SecurityGroups"]
    nodes = provider.non_terminated_nodes({"ray-node-kind": "worker"})
    provider.set_node_tags(nodes[0], {"ray-node-status": "up-to-date"})
    provider.terminate_nodes(nodes)
    return Launched(calls, made, groups, list_instances())


def test_launch_requests(account: dict[str, str], launched: Launched) -> None:
    asked = requests(launched.calls)
    assert {name: request["InstanceType"] for name, request in asked.items()} == {
        "head": "m7i.large",
        "l4": "g6.2xlarge",
        "a10g": "g5.2xlarge",
    }
    assert "InstanceMarketOptions" not in asked["head"], "the head is on demand"
    for name in GPUS:
        assert asked[name]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert asked[name]["IamInstanceProfile"] == {"Name": "pruning-study-worker"}
    assert asked["head"]["IamInstanceProfile"] == {"Name": "pruning-study-head"}
    for request in asked.values():
        assert request["SecurityGroupIds"] == [account["SecurityGroup"]]
        assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert request["MetadataOptions"]["HttpTokens"] == "required"
        assert request["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
        assert request["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"]
        assert [tags(spec).get("project") for spec in request["TagSpecifications"]] == [
            "pruning-study"
        ] * 2


def test_what_ec2_made_of_it(account: dict[str, str], launched: Launched) -> None:
    made = {tags(instance)["ray-user-node-type"]: instance for instance in launched.made}
    assert {name: instance.get("InstanceLifecycle") for name, instance in made.items()} == {
        "head": None,
        "l4": "spot",
        "a10g": "spot",
    }
    assert all(i["SecurityGroups"][0]["GroupId"] == account["SecurityGroup"] for i in made.values())
    states = {
        tags(i)["ray-user-node-type"]: i["State"]["Name"] for i in launched.left if "Tags" in i
    }
    assert {states[name] for name in GPUS} <= {"terminated", "shutting-down"}, "ended, not stopped"
    assert states["head"] == "running"


def test_resources_are_those_of_the_instance_types(account: dict[str, str]) -> None:
    """The numbers in cluster.yaml against the table of instance types."""
    config = read(account["SecurityGroup"])
    written = {name: config["available_node_types"][name]["resources"] for name in GPUS}
    for name in GPUS:
        config["available_node_types"][name]["resources"] = {}
    detected = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(config))[
        "available_node_types"
    ]
    for name, kind in GPUS.items():
        assert {key: detected[name]["resources"][key] for key in ("CPU", "GPU")} == written[name]
        assert f"accelerator_type:{kind}" in detected[name]["resources"]


def test_only_ssh_from_one_address_is_open(account: dict[str, str], launched: Launched) -> None:
    groups = launched.groups  # Ray adds no rule of its own
    assert {group["GroupName"] for group in groups} == {"default", "pruning-study"}, (
        "Ray made no group of its own"
    )
    (group,) = [group for group in groups if group["GroupId"] == account["SecurityGroup"]]
    outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"] or rule["Ipv6Ranges"]]
    assert [(rule["FromPort"], rule["ToPort"], rule["IpRanges"]) for rule in outside] == [
        (22, 22, [{"CidrIp": "203.0.113.7/32"}])
    ]
    (inside,) = [rule for rule in group["IpPermissions"] if rule not in outside]
    assert [pair["GroupId"] for pair in inside["UserIdGroupPairs"]] == [account["SecurityGroup"]]


def statements(role: str) -> dict[str, dict[str, Any]]:
    """The statements of a role's own policies, by Sid."""
    iam = boto3.client("iam", REGION)
    found = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        found += (ast.literal_eval(document) if isinstance(document, str) else document)[
            "Statement"
        ]
    return {statement["Sid"]: statement for statement in found}


def actions(statement: dict[str, Any]) -> set[str]:
    listed = statement["Action"]
    return {listed} if isinstance(listed, str) else set(listed)


def test_the_heads_role_suffices_and_is_no_wider(
    account: dict[str, str], launched: Launched
) -> None:
    config = read(account["SecurityGroup"])
    made = {f"ec2:{name}" for name, _ in launched.calls}
    assert made >= {
        "ec2:RunInstances",
        "ec2:CreateTags",
        "ec2:DescribeInstances",
        "ec2:TerminateInstances",
    }
    files = statements("pruning-study-worker")
    allowed = {
        sid: found for sid, found in statements("pruning-study-head").items() if sid not in files
    }
    everything = set().union(*map(actions, allowed.values()))
    assert made <= everything
    beyond = {
        "ec2:DescribeInstanceTypes",
        "iam:PassRole",
        "ssm:GetParameters",
    }  # asked on its behalf, or by `ray up`
    assert everything == made | beyond
    types = {config["available_node_types"][name]["node_config"]["InstanceType"] for name in GPUS}
    assert set(allowed["StartWorkers"]["Condition"]["StringEquals"]["ec2:InstanceType"]) == types
    assert allowed["GiveWorkersTheirRole"]["Resource"].endswith(":role/pruning-study-worker")
    for sid in ("StartWorkers", "TagAndEndItsOwn"):
        assert config["cluster_name"] in allowed[sid]["Condition"]["StringEquals"].values()
    assert [sid for sid, statement in allowed.items() if statement["Resource"] == "*"] == ["Look"]


def test_both_roles_reach_one_bucket_and_a_worker_nothing_else(account: dict[str, str]) -> None:
    iam = boto3.client("iam", REGION)
    files = statements("pruning-study-worker")
    assert {sid: statement["Resource"] for sid, statement in files.items()} == {
        "List": "arn:aws:s3:::my-bucket",
        "ReadAndWrite": "arn:aws:s3:::my-bucket/*",
    }
    assert actions(files["List"]) == {"s3:ListBucket"}
    assert all(
        action.startswith("s3:") and "*" not in action for action in actions(files["ReadAndWrite"])
    )
    head = statements("pruning-study-head")
    assert {sid: head[sid] for sid in files} == files
    for role in ("pruning-study-head", "pruning-study-worker"):
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        (profile,) = iam.list_instance_profiles_for_role(RoleName=role)["InstanceProfiles"]
        assert profile["InstanceProfileName"] == role


def test_unfilled_group_stops_ray_before_anything_is_launched(
    account: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = [instance["InstanceId"] for instance in list_instances()]
    with pytest.raises(AssertionError):
        launch(read(), "head")
    assert "Failed to detect a security group" in capsys.readouterr().err
    assert [instance["InstanceId"] for instance in list_instances()] == before
