"""/etc/hosts and /etc/resolv.conf of a container."""

from __future__ import annotations

import pytest

from hostagent.network import files

HOST = """# made by hand
domain old.example
search corp.example lab.example
nameserver 127.0.0.53
nameserver 192.0.2.1
nameserver ::1
options ndots:2 edns0
"""


def test_hosts() -> None:
    text = files.hosts("web", "example.org", ["172.18.0.2", "172.17.0.2"], [("db", "10.0.0.5")])
    assert text.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert text.splitlines()[-3:] == [
        "10.0.0.5\tdb",
        "172.18.0.2\tweb.example.org web",
        "172.17.0.2\tweb.example.org web",
    ]
    assert files.hosts("web").splitlines()[-1] == "ff02::2\tip6-allrouters"
    assert files.hostname("web") == "web\n"


def test_loopback_resolvers_are_left_out() -> None:
    assert files.resolv_conf(HOST) == (
        "nameserver 192.0.2.1\nsearch corp.example lab.example\noptions ndots:2 edns0\n"
    )


def test_the_hosts_network_keeps_them() -> None:
    text = files.resolv_conf(HOST, own_network=False)
    assert text.startswith("nameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::1\n")


@pytest.mark.parametrize("host", ["", "nameserver 127.0.0.1\n", "nameserver\nnameserver ::1\n"])
def test_dockers_fallback(host: str) -> None:
    assert files.resolv_conf(host) == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_what_the_user_asks_for_replaces_the_hosts() -> None:
    text = files.resolv_conf(HOST, ["127.0.0.1"], ["a.example", "b.example"], ["timeout:1"])
    assert text == "nameserver 127.0.0.1\nsearch a.example b.example\noptions timeout:1\n"
    assert "search" not in files.resolv_conf(HOST, search=["."])


def test_a_resolver_of_ours_is_the_only_one() -> None:
    text = files.resolv_conf("nameserver 192.0.2.1\n", ["192.0.2.9"], resolver="127.0.0.11")
    assert text == "nameserver 127.0.0.11\noptions ndots:0\n"
    assert "options ndots:2 edns0\n" in files.resolv_conf(HOST, resolver="127.0.0.11")


def test_only_the_stub_of_resolved() -> None:
    assert files.only_resolved_stub("nameserver 127.0.0.53\noptions edns0\n")
    assert not files.only_resolved_stub(HOST)
    assert not files.only_resolved_stub("")
