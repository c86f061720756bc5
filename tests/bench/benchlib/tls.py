"""The comparison with TLS towards the client: the same certificate and suite for every proxy, and
what each needs in its configuration to terminate it. Backends are plain."""

import dataclasses
import pathlib
import subprocess

from benchlib import proxies
from benchlib.works import LEVEL, Work

SUITE = "TLS_AES_128_GCM_SHA256"

WORKS = (
    Work("full", "full handshake, 64 B round trip, close; 16 at a time", "connect", 16,
         targets=LEVEL),
    Work("resumed", "resumed handshake, 64 B round trip, close; 16 at a time", "resume", 16,
         targets=LEVEL),
    Work("rt4kx1", "4 KiB round trip, 1 connection", "roundtrip", 1, size=4096, targets=LEVEL),
    Work("rt4kx64", "4 KiB round trip, 64 connections", "roundtrip", 64, size=4096,
         targets=LEVEL),
    Work("down4", "download, 4 streams", "download", 4, unit="MB", targets=LEVEL),
    Work("down64", "download, 64 streams", "download", 64, unit="MB", targets=LEVEL),
    Work("up4", "upload, 4 streams", "upload", 4, unit="MB", targets=LEVEL),
)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """ECDSA P-256, self-signed: clients trust `cert`. `bundle` has both, as HAProxy wants it."""

    cert: pathlib.Path
    key: pathlib.Path
    bundle: pathlib.Path


def make_certificate(directory):
    directory = pathlib.Path(directory)
    made = Certificate(*(directory / name for name in ("tls.pem", "tls.key", "tls.both.pem")))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "7", "-subj", "/CN=bench.example",
               "-addext", "subjectAltName=DNS:bench.example", "-keyout", made.key,
               "-out", made.cert]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise proxies.ProxyFailed("openssl is not installed (apt-get install openssl)") from error
    except subprocess.CalledProcessError as error:
        raise proxies.ProxyFailed(f"no certificate could be made: {error.stderr}") from error
    made.bundle.write_text(made.cert.read_text() + made.key.read_text())
    return made


# What a proxy does not need told is left at its default: tickets, caches, buffers.
def terminate(proxy, certificate):
    """Makes a proxy speak TLS to its clients. Before start()."""
    if proxy.key == "penstock":
        proxy.tls_lines = f"""\
[listener.tls]
certificates = [{{ cert = "{certificate.cert}", key = "{certificate.key}" }}]
min_version = "1.3"
ciphers = "{SUITE}"
"""
    elif proxy.key == "haproxy":
        proxy.tls_words = (f"ssl crt {certificate.bundle} ssl-min-ver TLSv1.3 "
                           f"ciphersuites {SUITE} curves X25519:P-256")
    elif proxy.key == "nginx":
        proxy.tls_words = "ssl"
        proxy.tls_lines = f"""\
ssl_certificate {certificate.cert};
        ssl_certificate_key {certificate.key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {SUITE};
        ssl_ecdh_curve X25519:prime256v1;
"""
    else:
        raise proxies.ProxyFailed(f"{proxy.title} has no TLS: leave it out with --proxies")
