"""Certificates for tests, made by openssl when they are wanted."""

import os
import pathlib
import subprocess


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr}"


class Authority:
    """A CA in a folder of its own; `certificate` is its file."""

    def __init__(self, folder, name="ca"):
        self._folder = pathlib.Path(folder) / name
        self._folder.mkdir(parents=True)
        self._serial = 1000
        self.certificate = self._folder / "ca.pem"
        self._key = self._folder / "ca.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                 "-subj", f"/CN=proad test {name}", "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._key, "-out", self.certificate)

    def issue(self, name, names="DNS:localhost,IP:127.0.0.1", usage="serverAuth,clientAuth", expired=False):
        """Certificate and key, in files; every call makes new ones."""
        self._serial += 1
        base = self._folder / f"{name}-{self._serial}"
        key, request, certificate, extensions = (
            base.with_suffix(suffix) for suffix in (".key", ".csr", ".pem", ".ext"))
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
        # x509 -days cannot be negative everywhere; ca can be told both ends.
        ends = ("20200101000000Z", "20200102000000Z") if expired else ("20200101000000Z", "20991231000000Z")
        database = base.with_suffix(".db")
        database.write_text("")
        configuration = base.with_suffix(".cnf")
        configuration.write_text(
            f"[ca]\ndefault_ca=a\n[a]\ndatabase={database}\nnew_certs_dir={self._folder}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        _openssl("ca", "-batch", "-notext", "-config", configuration, "-cert", self.certificate, "-keyfile", self._key,
                 "-startdate", ends[0], "-enddate", ends[1], "-extfile", extensions, "-in", request,
                 "-out", certificate)
        return certificate, key


def replace(source, target):
    """Puts a copy of a file into another's place, in one step."""
    draft = pathlib.Path(f"{target}.new")
    draft.write_bytes(pathlib.Path(source).read_bytes())
    os.replace(draft, target)
