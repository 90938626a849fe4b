"""What is asked of AWS: the right image, room elsewhere, one group for twenty, and nothing open that need not be."""

from __future__ import annotations

import base64
import gzip
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from machine.errors import Unsupported
from machine.workflow.create import make
from machine.workflow.order import Offer, agree
from tests.root.aws_driver.conftest import Desk
from tests.servers.aws.answers import image_id


def test_an_instance(desk: Desk) -> None:
    order = {"type": "t4g.small", "tags": "team=blue", "disk-size": "12", "disk-encrypted": "true"}
    desk.create(options={**order, "image": "debian-13"})
    (found,) = desk.instances()
    assert (found["ImageId"], found["Architecture"]) == (image_id("debian-13", "arm64"), "arm64")
    options = found["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert tags["Name"] == "dev1" and tags["team"] == "blue" and tags["pymachine:state"] == "whole"
    assert desk.store.get("dev1").host_key.startswith(tags["pymachine:host-key"])
    (disk,) = desk.aws(
        "describe_volumes", Filters=[{"Name": "tag:pymachine", "Values": [tags["pymachine"]]}]
    )["Volumes"]
    assert (disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (12, "gp3", True)
    assert [item["Ebs"]["DeleteOnTermination"] for item in found["BlockDeviceMappings"]] == [True]
    assert [group["GroupName"] for group in found["NetworkInterfaces"][0]["Groups"]] == ["pymachine"]


@pytest.mark.parametrize("release", ["debian-12", "debian-13", "ubuntu-24.04"])
def test_without_ssm_the_publishers_own_images_are_taken(desk: Desk, release: str) -> None:
    desk.cloud.control(missing=["/aws/service"])
    plan = desk.agree("dev1", options={"image": release}).request.options["settled plan"]
    assert image_id(release, "amd64") in plan and "ami-0bad" not in plan


def test_spot_falls_back(desk: Desk) -> None:
    """To another zone, to another type, and to one on demand; a spot machine is not stopped."""
    refusals = [{"code": "InsufficientInstanceCapacity", "market": "spot", "zone": "eu-central-1a"}]
    desk.cloud.control(refusals=refusals)
    desk.create("dev1", {"spot": "true"})
    refusals.append({"code": "InsufficientInstanceCapacity", "type": "t3.small"})
    desk.cloud.control(refusals=refusals)
    desk.create("dev2", {"spot": "true", "type": "t3.small,t3a.small"})
    desk.cloud.control(refusals=[{"code": "MaxSpotInstanceCountExceeded", "market": "spot"}])
    desk.create("dev3", {"spot": "true"})
    records = desk.records()
    assert [records[name]["market"] for name in ("dev1", "dev2", "dev3")] == ["spot", "spot", "on demand"]
    assert records["dev2"]["type"] == "t3a.small"
    zones = {item["InstanceId"]: item["Placement"]["AvailabilityZone"] for item in desk.instances()}
    assert [zones[records[name]["instance"]] for name in ("dev1", "dev2", "dev3")] == [
        "eu-central-1b",
        "eu-central-1b",
        "eu-central-1a",
    ]
    driver = desk.agree("dev4").driver
    with pytest.raises(Unsupported, match=r"dev1 is a spot instance, which AWS does not stop"):
        driver.stop(desk.store.get("dev1"), print, patience=1)
    for name in ("dev1", "dev2", "dev3"):
        desk.rm(name)
    assert desk.account() == []


def test_twenty_at_once(desk: Desk) -> None:
    """The group is made once, goes with the last one, and the price is asked for once."""
    offers: list[Offer] = []

    def approve(offer: Offer) -> bool:
        offers.append(offer)
        return True

    names = [f"web-{number}" for number in range(1, 21)]
    agreed = agree(desk.store, "aws", names, {}, keys=(), approve=approve)
    assert [offer.hourly for offer in offers] == [Decimal("0.6060")] and len(offers[0].names) == 20
    with ThreadPoolExecutor(max_workers=10) as pool:
        list(pool.map(lambda name: make(desk.store, agreed, name), names))
        assert desk.account() == ["group", *["instance"] * 20]
        assert sorted(desk.records()) == sorted(names)
        assert desk.cloud.control()["calls"]["CreateSecurityGroup"] == 1
        list(pool.map(desk.rm, names))
    assert desk.account() == []


def test_private_and_groups_of_ones_own(desk: Desk, tmp_path: Path) -> None:
    (vpc,) = desk.aws("describe_vpcs")["Vpcs"]
    group = desk.aws("create_security_group", GroupName="mine", Description="mine", VpcId=vpc["VpcId"])[
        "GroupId"
    ]
    own = tmp_path / "own"
    own.write_text("#!/bin/sh\ntouch /srv/mine\n" + "".join(f"# {number:x}\n" for number in range(5000)))
    desk.create(options={"private": "true", "security-group": group, "user-data": str(own)})
    (found,) = desk.instances()
    assert "PublicIpAddress" not in found and desk.store.get("dev1").address == found["PrivateIpAddress"]
    asked = desk.aws("describe_instance_attribute", InstanceId=found["InstanceId"], Attribute="userData")
    data = gzip.decompress(base64.b64decode(asked["UserData"]["Value"]))
    assert b"multipart/mixed" in data and b"text/x-shellscript" in data
    desk.rm()
    assert desk.account() == ["group"]
