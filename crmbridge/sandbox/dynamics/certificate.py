"""The certificate with which the application may log in instead of a secret (dataverse-api §1.1)."""

from datetime import datetime
from functools import lru_cache


@lru_cache(maxsize=1)
def client_certificate() -> str:
    """Key and certificate of the application, PEM; made once per process (its bytes decide nothing)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crmbridge sandbox application")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1))  # noqa: DTZ001 - cryptography takes naive UTC
        .not_valid_after(datetime(2099, 12, 31))  # noqa: DTZ001
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()
