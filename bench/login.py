"""How a bare connection logs in to a broker: SASL's PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677).

For the one question that librdkafka's admin client does not know (`bench.logdirs`). `exchange` sends bytes of ours and
returns the broker's; what is asked, and what is checked, is here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.errors import BrokerError

Exchange = Callable[[bytes], bytes]
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
MECHANISMS = ("PLAIN", *HASHES)
FEWEST_ITERATIONS = 4096  # RFC 7677; a server that asks for fewer wants the password cheaply


@dataclass(frozen=True)
class Login:
    """Who, and how it is shown."""

    mechanism: str
    username: str
    password: str = field(repr=False)

    def perform(self, exchange: Exchange, nonce: str = "") -> None:
        """Talk to a broker that agreed to the mechanism. BrokerError when it is not the one it should be.

        `nonce`: for tests; else drawn.
        """
        if self.mechanism == "PLAIN":
            exchange(f"\0{self.username}\0{self.password}".encode())
        else:
            self._scram(exchange, nonce or base64.b64encode(secrets.token_bytes(24)).decode())

    def _scram(self, exchange: Exchange, nonce: str) -> None:
        name = self.username.replace("=", "=3D").replace(",", "=2C")
        first = f"n={name},r={nonce}"
        challenge = exchange(f"n,,{first}".encode()).decode()
        said = dict(part.partition("=")[::2] for part in challenge.split(","))
        if not said.get("r", "").startswith(nonce) or int(said.get("i", "0")) < FEWEST_ITERATIONS:
            raise BrokerError("the broker's challenge is not one of SCRAM's")
        kind = HASHES[self.mechanism]
        salted = hashlib.pbkdf2_hmac(kind, self.password.encode(), base64.b64decode(said["s"]), int(said["i"]))
        bare = f"c=biws,r={said['r']}"  # biws: "n,,", no channel binding
        whole = f"{first},{challenge},{bare}".encode()

        def signed(key: bytes, text: bytes) -> bytes:
            return hmac.digest(key, text, kind)

        client_key = signed(salted, b"Client Key")
        signature = signed(hashlib.new(kind, client_key).digest(), whole)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        answer = exchange(f"{bare},p={base64.b64encode(proof).decode()}".encode()).decode()
        expected = base64.b64encode(signed(signed(salted, b"Server Key"), whole)).decode()
        if not hmac.compare_digest(answer, f"v={expected}"):
            raise BrokerError("the broker does not know the password either: it is not the one it should be")
