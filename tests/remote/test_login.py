"""SASL by hand: the RFC's own example, and brokers that are not what they say."""

from __future__ import annotations

import pytest

from bench.errors import BrokerError
from bench.login import Login

# RFC 7677, section 3
NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
FINAL = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SIGNATURE = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def talk(login: Login, *answers: str) -> list[str]:
    """What was sent to a broker that answers these."""
    sent: list[str] = []
    left = iter(answers)

    def exchange(token: bytes) -> bytes:
        sent.append(token.decode())
        return next(left).encode()

    login.perform(exchange, NONCE)
    return sent


def test_scram_is_the_rfcs() -> None:
    sent = talk(Login("SCRAM-SHA-256", "user", "pencil"), CHALLENGE, SIGNATURE)
    assert sent == [f"n,,n=user,r={NONCE}", FINAL]


def test_plain_is_name_and_password() -> None:
    assert talk(Login("PLAIN", "user", "pencil"), "") == ["\0user\0pencil"]


def test_a_broker_that_does_not_know_the_password_is_not_believed() -> None:
    with pytest.raises(BrokerError, match="does not know the password"):
        talk(Login("SCRAM-SHA-256", "user", "pencil"), CHALLENGE, "v=AAAA")


@pytest.mark.parametrize("challenge", [CHALLENGE.replace("r=rO", "r=xx"), CHALLENGE.replace("4096", "1"), "e=other"])
def test_a_challenge_that_gives_the_password_away_is_not_answered(challenge: str) -> None:
    with pytest.raises(BrokerError, match="challenge"):
        talk(Login("SCRAM-SHA-256", "user", "pencil"), challenge, SIGNATURE)


def test_a_login_shows_no_password() -> None:
    assert "pencil" not in repr(Login("PLAIN", "user", "pencil"))
