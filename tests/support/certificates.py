"""
Self-signed certificates.
"""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, *extensions: str) -> tuple[Path, Path]:
    """
    Create a certificate for *name*, such as `IP:127.0.0.1` or `DNS:service.test`, and its key.

    *extensions* are more of the certificate's.  Returns the paths of the two PEM files in *folder*.
    """
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN=batchfetch-test -addext subjectAltName={name}"
        " -keyout key.pem -out certificate.pem"
    )
    more = [word for extension in extensions for word in ("-addext", extension)]
    subprocess.run([*command.split(), *more], cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"
