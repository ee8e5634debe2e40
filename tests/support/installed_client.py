"""The Python client, installed from its folder without a network when this is imported: `import proad` works from then on.

What a user does with a checkout, in a copy, so that the checkout stays clean.
"""

import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

_source = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="proad-python-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
SITE = FOLDER / "site"

_ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "v1", "bundled")
shutil.copytree(_source / "client" / "python", FOLDER / "client" / "python", ignore=_ignored)
shutil.copytree(_source / "proto", FOLDER / "proto")
_done = subprocess.run(
    [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-build-isolation",
     "--no-deps", "--no-index", "--target", SITE, FOLDER / "client" / "python"],
    capture_output=True, text=True)
if _done.returncode != 0:
    raise RuntimeError(f"pip install failed:\n{_done.stdout}{_done.stderr}")
sys.path.insert(0, str(SITE))
import proad  # noqa: E402

# Whoever tries again does so at once.
QUICK = proad.RetryPolicy(initial_backoff=0.001)
