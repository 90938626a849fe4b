"""The rtnetlink encoder: round trips, agreement with pyroute2's decoder, and damaged input."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from hostagent.kernel import netlink, netlink_socket
from hostagent.kernel.netlink_socket import Message
from hostagent.model.network import Interface

values = st.dictionaries(st.integers(1, netlink_socket.NLA_TYPE_MASK), st.binary(max_size=300), max_size=8)
messages = st.lists(st.builds(Message, st.integers(16, 60), st.integers(0, 0xFFFF), st.binary(max_size=200)))
ETH0 = Interface("eth0", "02:42:ac:11:00:02", ("172.17.0.2/16", "fd00::2/64"), "172.17.0.1", 1460)


@given(values)
def test_attributes_round_trip(given_values: dict[int, bytes]) -> None:
    data = b"".join(netlink_socket.attribute(kind, value) for kind, value in given_values.items())
    assert len(data) % 4 == 0
    assert netlink_socket.attributes(data) == given_values


@given(messages, st.integers(0, 1 << 31))
def test_messages_round_trip(given_messages: list[Message], sequence: int) -> None:
    replies = list(netlink_socket.decode(netlink_socket.encode(given_messages, sequence)))
    assert [(reply.kind, reply.body) for reply in replies] == [(m.kind, m.body) for m in given_messages]
    assert [reply.sequence for reply in replies] == list(range(sequence, sequence + len(replies)))
    assert all(reply.flags & netlink_socket.NLM_F_REQUEST for reply in replies)


@given(st.binary(max_size=200))
def test_damaged_input_is_a_value_error_or_nothing(data: bytes) -> None:
    for decoder in (netlink_socket.attributes, lambda raw: list(netlink_socket.decode(raw))):
        try:
            decoder(data)
        except ValueError as error:
            assert "netlink" in str(error)


@pytest.mark.parametrize(("kind", "nested"), [(1, 0x8001), (2, 0x4002)])
def test_nested_and_byte_order_bits_are_no_part_of_the_type(kind: int, nested: int) -> None:
    assert netlink_socket.attributes(netlink_socket.attribute(nested, b"x")) == {kind: b"x"}


def test_strings_and_numbers() -> None:
    assert netlink_socket.attribute(3, "eth0") == struct.pack("=HH", 9, 3) + b"eth0\0\0\0\0"
    assert netlink_socket.attribute(4, 1500) == struct.pack("=HHI", 8, 4, 1500)


def acknowledgement(code: int, text: str, capped: bool) -> netlink_socket.Reply:
    """NLMSG_ERROR as linux/netlink.h has it: code, echoed header (and payload unless capped), attributes."""
    payload = b"" if capped else bytes(8)
    body = struct.pack("=i", -code) + struct.pack("=IHHII", 16 + len(payload), 16, 5, 1, 0) + payload
    body += netlink_socket.attribute(netlink_socket.NLMSGERR_ATTR_MSG, text)
    flags = netlink_socket.NLM_F_ACK_TLVS | (netlink_socket.NLM_F_CAPPED if capped else 0)
    return netlink_socket.Reply(netlink_socket.NLMSG_ERROR, flags, 1, body)


@pytest.mark.parametrize("capped", [True, False])
def test_the_kernels_own_words(capped: bool) -> None:
    error = netlink_socket.failure(acknowledgement(errno.EINVAL, "Nexthop has invalid gateway", capped))
    assert error is not None
    assert (error.errno, error.strerror) == (errno.EINVAL, "Invalid argument (Nexthop has invalid gateway)")
    assert netlink_socket.failure(acknowledgement(0, "a warning", capped)) is None


def read(parser: Any, message: Message) -> Any:
    """The message as pyroute2 decodes it."""
    found = parser(netlink_socket.encode([message], 1))
    found.decode()
    return found


class TestAgainstPyroute2:
    """What we encode, another implementation reads."""

    def test_veth(self) -> None:
        message = read(ifinfmsg, netlink.new_veth("pm-0123456789ab", 7, ETH0, 42))
        assert message.get("ifname") == "pm-0123456789ab"
        assert (message.get("master"), message.get("mtu"), message["flags"]) == (7, 1460, 0)
        assert message.get(("linkinfo", "kind")) == "veth"
        peer = message.get(("linkinfo", "data")).get("VETH_INFO_PEER")
        assert (peer.get("ifname"), peer.get("address"), peer.get("mtu")) == ("eth0", ETH0.mac, 1460)
        assert peer.get("net_ns_fd") == 42

    def test_bridge(self) -> None:
        message = read(ifinfmsg, netlink.new_bridge("pm0", "02:42:ac:11:00:01", 1500))
        assert (message.get("ifname"), message.get("address")) == ("pm0", "02:42:ac:11:00:01")
        assert (message.get(("linkinfo", "kind")), message["flags"]) == ("bridge", 1)

    def test_configuration(self) -> None:
        loopback, address, address6, up, route = netlink.configuration([ETH0], [5])
        assert read(ifinfmsg, loopback)["index"] == 1
        first, second = read(ifaddrmsg, address), read(ifaddrmsg, address6)
        assert (first.get("local"), first["prefixlen"], first["index"]) == ("172.17.0.2", 16, 5)
        assert first.get("broadcast") == "172.17.255.255"
        assert (second.get("address"), second["prefixlen"], second["family"]) == ("fd00::2", 64, 10)
        assert (read(ifinfmsg, up)["index"], read(ifinfmsg, up)["flags"]) == (5, 1)
        default = read(rtmsg, route)
        assert (default.get("gateway"), default.get("oif"), default["dst_len"]) == ("172.17.0.1", 5, 0)

    def test_no_gateway_no_route(self) -> None:
        inside = Interface("eth1", "02:42:0a:00:00:02", ("10.0.0.2/31",), None)
        _, no_ipv6, address, _ = netlink.configuration([inside], [6])
        assert read(ifinfmsg, no_ipv6)["index"] == 6
        assert read(ifaddrmsg, address).get("broadcast") is None
        assert [m.kind for m in netlink.configuration([], [])] == [netlink.RTM_NEWLINK]


def test_interface_json_round_trip() -> None:
    assert Interface.from_json(ETH0.to_json()) == ETH0
    assert (ETH0.ip, ETH0.prefix_length) == ("172.17.0.2", 16)


@pytest.mark.parametrize("mac", ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "zz:42:ac:11:00:02"])
def test_a_wrong_mac(mac: str) -> None:
    with pytest.raises(ValueError):
        netlink.mac_bytes(mac)
