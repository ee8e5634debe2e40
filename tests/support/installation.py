"""The installed programs, and the files that they need alone in an empty root file system.

    prefix = install(folder / "proad")          # cmake --install, moved as a whole afterwards if wanted
    root = assemble(prefix, folder / "root")    # docker/runtime_files.sh
    in_root(root, folder / "state", prefix / "bin" / "proad", "doctor")
"""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])
RUNTIME_FILES = SOURCE / "docker" / "runtime_files.sh"

# What a container runtime does: a read-only root, /proc and /dev from outside, one folder that can be written, and a
# user without rights where there are others to choose from.
ENTER = """
mount --bind "$1" "$1"
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
mount --bind "$2" "$1/var/lib/proad"
mount -o remount,bind,ro "$1"
root="$1"
shift 2
exec chroot $USERSPEC "$root" "$@"
"""


def install(prefix, components=("client", "runtime"), build=BINARY):
    """Installs without copying the gigabytes of LibTorch where they can be linked."""
    for component in components:
        done = subprocess.run(
            ["cmake", "--install", build, "--prefix", prefix, "--component", component],
            capture_output=True, text=True, timeout=240, env={**os.environ, "PROAD_INSTALL_LINKS": "1"})
        assert done.returncode == 0, f"cmake --install of {component}: {done.stdout}{done.stderr}"
    return prefix


def assemble(prefix, root):
    """An empty root file system with what the programs of `prefix` need; says how large it is."""
    done = subprocess.run([RUNTIME_FILES, "--link", prefix, root], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"runtime_files.sh: {done.stdout}{done.stderr}"
    print(done.stderr.strip(), flush=True)
    return root


def can_enter():
    """Whether this machine lets us mount and change the root."""
    return subprocess.run(["unshare", *_namespaces(), "true"], capture_output=True).returncode == 0


def command_in_root(root, state, *command):
    """The words that run `command` in `root`, with the folder `state` as its /var/lib/proad."""
    userspec = "--userspec=65532:65532" if os.geteuid() == 0 else ""
    state.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(state, 65532, 65532)
    return ["unshare", *_namespaces(), "sh", "-euc", ENTER.replace("$USERSPEC", userspec), "sh",
            *(str(word) for word in (root, state, *command))]


def in_root(root, state, *command, **environment):
    return subprocess.run(command_in_root(root, state, *command), capture_output=True, text=True, timeout=240,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment})


def _namespaces():
    return ["--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["--map-root-user"])]
