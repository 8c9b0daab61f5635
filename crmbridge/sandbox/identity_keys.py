"""The key that signs tokens, as a JWK for whoever checks them; names of certificates (dataverse-api §1.1)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cache
from hashlib import sha256
from typing import Any

KEY_ID = "crmbridge-sandbox"


@cache
def signing_key() -> Any:
    """One key per process: making one takes longer than everything else in a test."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def jwk(key: Any, kid: str) -> dict[str, str]:
    """A public RSA key."""
    numbers = key.public_numbers()
    n, e = (encoded(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
    return {"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e}


def signed(claims: dict[str, Any]) -> str:
    import jwt

    return jwt.encode(claims, signing_key(), algorithm="RS256", headers={"kid": KEY_ID, "x5t": KEY_ID})


def certificate(pem: str) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem.encode())


def thumbprints(found: Any) -> dict[str, str]:
    """What a client's assertion may name the certificate by: `x5t` (SHA-1) or `x5t#S256`."""
    from cryptography.hazmat.primitives import hashes

    sha1 = found.fingerprint(hashes.SHA1())  # noqa: S303 - the header is defined so
    return {"x5t": encoded(sha1), "x5t#S256": encoded(found.fingerprint(hashes.SHA256()))}


def refresh_token(client_secret: str, user: str) -> str:
    """A refresh token that this user's consent once gave to the application; the same as long as the secret is."""
    return f"0.{encoded(sha256(f'{user} {client_secret}'.encode()).digest())}.{encoded(user.encode())}"


def user_of(token: str, client_secret: str) -> str | None:
    """Whose consent a refresh token is; None where it is nobody's."""
    try:
        part = token.rpartition(".")[2]
        user = urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    except ValueError:
        return None
    return user if refresh_token(client_secret, user) == token else None
