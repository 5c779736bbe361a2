"""The list of hosts that commands may reach: what an entry admits, and which entries are none."""

from ipaddress import ip_address

import pytest

from agent_lsp.domain.network_hosts import Host, HostError, HostList, host_name, read_host, split_port

LISTED = HostList.read(
    [
        "index.example.net",
        "*.Example.ORG.",
        "db.corp:5432",
        "localhost:8080",
        "10.1.2.3",
        "[2001:DB8::1]:9",
        "bücher.example",
    ]
)


@pytest.mark.parametrize(
    ("asked", "port", "covered"),
    [
        ("index.example.net", 443, True),
        ("Index.Example.NET.", 80, True),
        ("index.example.net", 8443, False),
        ("evil-index.example.net", 443, False),
        ("index.example.net.evil.net", 443, False),
        ("a.b.example.org", 443, True),
        ("example.org", 443, False),
        ("badexample.org", 443, False),
        ("db.corp", 5432, True),
        ("db.corp", 443, False),
        ("10.1.2.3", 443, True),
        ("::ffff:10.1.2.3", 443, True),
        ("10.1.2.4", 443, False),
        ("2001:db8:0:0::1", 9, True),
        ("xn--bcher-kva.example", 443, True),
        ("BÜCHER.example", 443, True),
    ],
)
def test_a_host_is_listed_whatever_way_it_is_spelt_and_for_its_ports_alone(
    asked: str, port: int, *, covered: bool
) -> None:
    assert bool(LISTED.covering(host_name(asked), port)) is covered


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "",
            "*",
            "*.",
            "https://index.example.net",
            "index.example.net/simple",
            "a b",
            "index.example.net:",
            "index.example.net:0",
            "index.example.net:65536",
        ),
        *(
            "index.example.net:1:2",
            "user@index.example.net",
            ".org",
            "a..b",
            "-a.org",
            "a" * 64 + ".org",
            "a.org:\uff14\uff14",
        ),
        *("127.1", "0x7f.1", "2130706433", "1.2.3.256", "0.0.0.0", "[::]", "224.0.0.1", "*.10.0.0.1"),
        *("fe80::1%eth0", "[index.example.net]", "[::1", "[::1]x", "straße.de", "a*.org"),
    ],
)
def test_what_is_no_host_is_refused_with_the_entry_named(entry: str) -> None:
    with pytest.raises(HostError) as caught:
        HostList.read(["index.example.net", entry])
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "address", "admitted"),
    [
        ("index.example.net", "151.101.0.223", True),
        ("index.example.net", "2a04:4e42::223", True),
        ("index.example.net", "10.0.0.5", False),
        ("index.example.net:443", "10.0.0.5", True),
        ("index.example.net:443", "fd00::5", True),
        ("index.example.net:443", "198.18.0.7", True),
        ("index.example.net:443", "127.0.0.1", False),
        ("index.example.net:443", "::1", False),
        ("index.example.net:443", "::ffff:127.0.0.1", False),
        ("index.example.net:443", "64:ff9b::7f00:1", False),
        ("index.example.net:443", "2002:7f00:1::", False),
        ("index.example.net:443", "169.254.169.254", False),
        ("index.example.net:443", "fe80::1", False),
        ("index.example.net:443", "0.0.0.0", False),
        ("index.example.net:443", "255.255.255.255", False),
        ("localhost", "127.0.0.1", False),
        ("localhost:80", "127.0.0.1", True),
        ("*.localhost:80", "::1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("169.254.169.254", "169.254.169.254", True),
    ],
)
def test_a_name_leads_to_public_addresses_and_elsewhere_only_where_the_list_says_so(
    entry: str, address: str, *, admitted: bool
) -> None:
    assert read_host(entry).admits(ip_address(address)) is admitted


def test_an_entry_is_kept_in_the_form_in_which_hosts_are_compared() -> None:
    assert read_host(" *.Example.org.:8443 ") == Host("example.org", 8443, below=True)
    assert read_host("[::FFFF:1.2.3.4]:80") == Host("1.2.3.4", 80)
    assert read_host("::1") == Host("::1", None)
    assert split_port("[::1]:80") == ("[::1]", 80)
