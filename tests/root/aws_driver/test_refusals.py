"""What AWS or the driver refuses: one sentence with cause and fix, and nothing left anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from machine.errors import Conflict, Denied, MachineError, Unavailable, Usage
from machine.store.store import Store
from machine.workflow import collect
from machine.workflow.create import make
from tests.root.aws_driver.conftest import NONE, Desk, Options
from tests.servers.aws.answers import image_id
from tests.servers.aws.signatures import EXPIRED


def refused(desk: Desk, kind: type[MachineError], pattern: str, options: Options = NONE) -> None:
    with pytest.raises(kind, match=pattern) as caught:
        desk.create(options=options)
    assert "\n" not in str(caught.value)
    assert desk.account() == [] and desk.store.names() == []


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"region": "eu-cntral-1"}, r'no region "eu-cntral-1": did you mean eu-central-1'),
        ({"region": "frankfurt"}, r'"frankfurt" is no region: write it as eu-central-1'),
        ({"type": "t3.smal"}, r"no instance type t3\.smal in eu-central-1"),
        ({"type": "t3"}, r'"t3" is no instance type: write it as t3\.small'),
        ({"image": "ami-0123"}, r"no image ami-0123 in eu-central-1"),
        ({"image": "debian"}, r'no image "debian": write one of debian-12'),
        ({"image": image_id("debian-12", "amd64"), "type": "t4g.small"}, r"is for x86_64, .* for arm64"),
        ({"disk-size": "4"}, r"needs 8 GB: write -o disk-size=8"),
        ({"disk-size": "many"}, r'"many" is no disk size'),
        ({"zone": "z"}, r'no subnet in a zone "eu-central-1z": it has eu-central-1a'),
        ({"vpc": "vpc-0123"}, r"no VPC vpc-0123 in eu-central-1"),
        ({"subnet": "subnet-0123"}, r"no subnet subnet-0123 in eu-central-1"),
        ({"security-group": "sg-0123"}, r"no security group sg-0123 in eu-central-1"),
        ({"ssh-from": "everywhere"}, r'"everywhere" is no range of addresses'),
        ({"tags": "pymachine=x"}, r'the tag "pymachine" is not yours'),
        ({"spot": "perhaps"}, r"write spot=true or spot=false"),
        ({"sice": "10"}, r"no option sice\. It has: region"),
    ],
)
def test_a_wrong_word(desk: Desk, options: dict[str, str], pattern: str) -> None:
    refused(desk, Usage, pattern, options)


@pytest.mark.parametrize(
    ("environment", "pattern"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE0000"},
            r'credentials of profile "default" \(InvalidClientTokenId\)',
        ),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, r"SignatureDoesNotMatch.*-o profile=NAME"),
        ({"AWS_SESSION_TOKEN": EXPIRED}, r"ExpiredToken.*aws sso login"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, r"no usable AWS credentials.*aws configure"),
        ({"AWS_PROFILE": "nosuch"}, r'no profile "nosuch" in ~/\.aws.*aws configure list-profiles'),
    ],
)
def test_credentials(
    desk: Desk, environment: dict[str, str], pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch, pytest.raises(Denied, match=pattern) as caught:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            if environment.get(name) == "":
                patch.delenv(name)
        desk.create()
    assert "\n" not in str(caught.value)
    assert desk.store.names() == []


def test_rights(desk: Desk) -> None:
    for action, pattern in (
        ("RunInstances", r"may not run instances in eu-central-1: ask for ec2:RunInstances"),
        ("CreateSecurityGroup", r"may not do CreateSecurityGroup in eu-central-1"),
        ("DescribeVpcs", r"may not do DescribeVpcs in eu-central-1"),
    ):
        desk.cloud.control(denied=[action])
        refused(desk, Denied, pattern)
    desk.cloud.control(denied=["GetProducts"])
    quote = desk.agree("dev1").driver.account.quote(desk.agree("dev1").request.options)  # type: ignore[union-attr]
    assert quote.hourly is None and "price could not be looked up" in quote.note


def test_no_way_to_aws(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    refused(desk, Unavailable, r"AWS cannot be reached .* is there a network")


def test_a_failure_is_rolled_back_unless_kept(desk: Desk) -> None:
    desk.cloud.control(refusals=[{"code": "VcpuLimitExceeded"}])
    with pytest.raises(MachineError, match=r"AWS gave no instance\. Choose another type, .* quota"):
        desk.create()
    assert desk.account() == [] and desk.store.names() == []
    with pytest.raises(MachineError, match="AWS gave no instance"):
        desk.create(keep=True)
    assert desk.account() == ["group"] and desk.store.names() == ["dev1"]
    desk.cloud.control(refusals=[])
    desk.create()
    assert desk.account() == ["group", "instance"]


def test_a_name_that_is_taken(desk: Desk) -> None:
    desk.create()
    other = desk.another("other")
    with pytest.raises(Conflict, match=r'"dev1" exists \(i-.* of user/moto\)\. .*pymachine adopt aws dev1'):
        other.agree("dev1")
    with pytest.raises(Conflict, match=r'"dev1" exists \(aws, made'):
        desk.create()


def test_somebody_elses_group(desk: Desk) -> None:
    (vpc,) = desk.aws("describe_vpcs")["Vpcs"]
    desk.aws("create_security_group", GroupName="pymachine", Description="mine", VpcId=vpc["VpcId"])
    with pytest.raises(Conflict, match="that pymachine did not make: rename it"):
        desk.create()
    assert desk.account() == ["group"] and desk.store.names() == []


def test_another_address_is_asked_for(desk: Desk) -> None:
    desk.create()
    desk.cloud.control(address="203.0.113.9")
    with pytest.raises(
        Denied, match=r"open to 198\.51\.100\.7/32, and you come from 203\.0\.113\.9/32.*--yes"
    ):
        desk.agree("dev2")
    asked: list[str] = []

    def yes(question: str) -> bool:
        asked.append(question)
        return True

    make(desk.store, desk.agree("dev2", ask=yes), "dev2")
    assert len(asked) == 1 and "You come from 203.0.113.9/32 now" in asked[0]
    assert sources(desk) == ["203.0.113.9/32"]
    desk.cloud.control(address="203.0.113.10")
    account = desk.agree("dev3", options={"ssh-from": "203.0.113.9/32"}).driver.account
    assert account is not None
    with pytest.raises(Denied, match=r"you come from 203\.0\.113\.10/32"):
        account.admit(desk.store.get("dev1"), lambda question: False, lambda text: None)
    account.admit(desk.store.get("dev1"), yes, lambda text: None)
    assert sources(desk) == ["203.0.113.10/32"]


def sources(desk: Desk) -> list[str]:
    (group,) = desk.aws(
        "describe_security_groups", Filters=[{"Name": "group-name", "Values": ["pymachine"]}]
    )["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
    return [source["CidrIp"] for source in rule["IpRanges"]]


def test_gc_leaves_alone_what_may_be_somebodys_work(desk: Desk, tmp_path: Path) -> None:
    """Half made and young; whole; an own group that is used. What is older goes, with a disk that nobody has."""
    desk.create()
    desk.cloud.control(refusals=[{"code": "Nonsense"}])
    with pytest.raises(MachineError, match="Nonsense"):
        desk.create("dev2", keep=True)
    desk.cloud.control(refusals=[])
    instance = desk.instances()[0]["InstanceId"]
    desk.aws("create_tags", Resources=[instance], Tags=[{"Key": "pymachine:state", "Value": "making"}])
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "pymachine", "Value": "0"}]}]
    desk.aws("create_volume", AvailabilityZone="eu-central-1a", Size=1, TagSpecifications=tags)

    def survey(**grace: float) -> Any:
        return collect.survey(Store(tmp_path / "empty"), "aws", {"region": "eu-central-1"}, print, **grace)

    found = survey()
    assert [thing.kind for thing in found.young] == ["machine", "disk"] and not found.orphans
    found = survey(grace=0)
    gone: list[str] = []
    collect.collect(
        Store(tmp_path / "empty"), "aws", {}, found.orphans, print, lambda thing: gone.append(thing.kind)
    )
    assert gone == ["machine", "disk", "security group"] and desk.account() == []
    assert re.fullmatch(r"i-[0-9a-f]+", found.orphans[0].id) and found.orphans[0].name == "dev1"
