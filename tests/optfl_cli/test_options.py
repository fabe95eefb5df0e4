"""What commands that talk to a ledger have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from offchain.adapters.keystore import write_key
from optfl.keys import SigningKey
from optfl_cli.errors import UserError
from optfl_cli.main import main
from optfl_cli.options import load_key, normalise_url, parse_address, read_passphrase

KEY = SigningKey.from_seed(b"\x05" * 32)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h:1", "http://h:1"),
        ("https://h:1/", "https://h:1"),
        ("tcp://127.0.0.1:26657", "http://127.0.0.1:26657"),
        ("127.0.0.1:26657", "http://127.0.0.1:26657"),
        ("[::1]:26657", "http://[::1]:26657"),
    ],
)
def test_addresses_of_nodes(text: str, url: str) -> None:
    assert normalise_url(text) == url


@pytest.mark.parametrize(
    "text", ["", " ", "ftp://h", "http://", "unix:///x", "h:99999", "h:0", "h:x", "http://[::1", "http://a b"]
)
def test_what_is_no_address_of_a_node(text: str) -> None:
    with pytest.raises(UserError, match="is no address of a node; give one like http://127"):
        normalise_url(text)


def test_an_address_is_hexadecimal_or_that_of_a_key_file(tmp_path: Path) -> None:
    write_key(tmp_path / "a.json", KEY)
    assert parse_address(KEY.address.hex()) == parse_address(str(tmp_path / "a.json")) == KEY.address
    with pytest.raises(UserError, match="the address is 'xyz'; give it in hexadecimal"):
        parse_address("xyz")
    with pytest.raises(UserError, match="the address has 1 bytes; it must have 20"):
        parse_address("ff")
    with pytest.raises(UserError, match=r"there is no key file .*nobody\.json; check the path, or give an address"):
        parse_address(str(tmp_path / "nobody.json"))
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(UserError, match="chmod 600"):
        parse_address(str(tmp_path / "b.json"))


def test_an_encrypted_key_takes_its_passphrase_from_a_file(tmp_path: Path) -> None:
    write_key(tmp_path / "a.json", KEY, "open sesame")
    (tmp_path / "passphrase").write_text("open sesame\nmore\n")
    assert load_key(tmp_path / "a.json", tmp_path / "passphrase").seed == KEY.seed
    (tmp_path / "passphrase").write_text("\n")
    with pytest.raises(UserError, match=r"the first line of .* is empty"):
        read_passphrase(tmp_path / "passphrase")
    with pytest.raises(UserError, match="cannot read the passphrase"):
        read_passphrase(tmp_path / "nothing")


def test_an_encrypted_key_without_terminal_or_file_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(tmp_path / "a.json", KEY, "open sesame")
    monkeypatch.setattr("os.isatty", lambda descriptor: False)
    with pytest.raises(UserError, match="is encrypted; give --passphrase-file FILE"):
        load_key(tmp_path / "a.json")


def test_a_node_that_is_not_there_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "params", "--node", "127.0.0.1:1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no answer from the node at http://127.0.0.1:1 (Connection refused); check that")
    assert error.count("\n") == 1


def test_the_config_file_says_which_node_and_an_option_goes_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ledger.toml"
    config.write_text('node = "127.0.0.1:2"\n')
    assert main(["query", "params", "--config", str(config)]) == 1
    assert "http://127.0.0.1:2 " in capsys.readouterr().err
    assert main(["query", "params", "--config", str(config), "--node", "127.0.0.1:3"]) == 1
    assert "http://127.0.0.1:3 " in capsys.readouterr().err
    config.write_text('nodes = "127.0.0.1:2"\n')
    assert main(["query", "params", "--config", str(config)]) == 1
    assert "unknown key nodes; remove it, or use one of: node, key" in capsys.readouterr().err


def test_a_transaction_without_a_key_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tx", "unbond", "--role", "client", "--amount", "1"]) == 1
    assert capsys.readouterr().err == "error: no key to sign with; give --key FILE, or set key in the --config file\n"
