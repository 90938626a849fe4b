"""What an hour costs, from AWS's price list and the spot market's last prices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from machine.drivers.account import Quote
from machine.drivers.aws_api import Aws
from machine.drivers.aws_order import Candidate, Plan
from machine.errors import MachineError

_HOURS: Final = 730  # of a month, as AWS reckons
# A public IPv4 address, in every region (aws.amazon.com/vpc/pricing, since 2024-02-01).
_ADDRESS: Final = Decimal("0.005")
# Which of the price list's endpoints to ask, by partition and place (Price List Query API, endpoints).
_LIST_REGION: Final = {"eu": "eu-central-1", "ap": "ap-south-1", "cn": "cn-northwest-1"}


def quote(aws: Aws, plan: Plan) -> Quote:
    first = plan.candidates[0]
    spot = " spot" if first.market == "spot" else ""
    what = (
        f"{first.type}{spot}, {first.zone}, {plan.image} {plan.architecture}, {plan.disk_size} GB {plan.disk_type}"
        f"{', encrypted' if plan.encrypted else ''}"
    )
    try:
        return Quote(what, _machine(aws, plan, first), _note(aws, plan))
    except MachineError as error:
        return Quote(what, None, f"the price could not be looked up: {error}")


def _note(aws: Aws, plan: Plan) -> str:
    last = plan.candidates[-1]
    if plan.candidates[0].market == "spot" and last.market == "on demand":
        return f"if AWS has no room for spot: {last.type} on demand, ${_machine(aws, plan, last).normalize():f}/h"
    return ""


def _machine(aws: Aws, plan: Plan, candidate: Candidate) -> Decimal:
    """US dollars an hour, with disk and address."""
    runs = (
        _spot(aws, plan, candidate)
        if candidate.market == "spot"
        else on_demand(aws, plan.region, candidate.type)
    )
    disk = _price(aws, plan.region, "Storage", volumeApiName=plan.disk_type) * plan.disk_size / _HOURS
    return (runs + disk + (0 if plan.private else _ADDRESS)).quantize(Decimal("0.0001"))


def on_demand(aws: Aws, region: str, kind: str) -> Decimal:
    """US dollars an hour for a Linux instance of this type alone."""
    return _price(
        aws,
        region,
        "Compute Instance",
        instanceType=kind,
        operatingSystem="Linux",
        tenancy="Shared",
        preInstalledSw="NA",
        capacitystatus="Used",
    )


def _spot(aws: Aws, plan: Plan, candidate: Candidate) -> Decimal:
    found = aws.call(
        plan.region,
        "describe_spot_price_history",
        InstanceTypes=[candidate.type],
        ProductDescriptions=["Linux/UNIX"],
        AvailabilityZone=candidate.zone,
        StartTime=datetime.now(UTC),  # the price of now
    )["SpotPriceHistory"]
    if not found:
        raise MachineError(f"there is no spot price of {candidate.type} in {candidate.zone}")
    return max((Decimal(item["SpotPrice"]) for item in found[:1]), default=Decimal(0))


def _price(aws: Aws, region: str, family: str, **attributes: str) -> Decimal:
    """The on-demand price of the one product that fits (AmazonEC2 in the price list)."""
    wanted = {"regionCode": region, "productFamily": family, **attributes}
    answer = aws.call(
        _LIST_REGION.get(region.split("-", maxsplit=1)[0], "us-east-1"),
        "get_products",
        service="pricing",
        ServiceCode="AmazonEC2",
        Filters=[{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in wanted.items()],
    )
    prices = [price for product in answer["PriceList"] for price in _prices(json.loads(product))]
    if not prices:
        raise MachineError(f"AWS's price list has no {' '.join(attributes.values())} in {region}")
    return max(prices)


def _prices(product: dict[str, Any]) -> list[Decimal]:
    return [
        Decimal(dimension["pricePerUnit"]["USD"])
        for term in product["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if "USD" in dimension["pricePerUnit"]
    ]
