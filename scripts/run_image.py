"""Runs an image's root in fresh namespaces as docker-compose.yml would; called by check_container.py."""

import fcntl
import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

START_PERIOD_S = 180
STOP_PERIOD_S = 60
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
VOLUME = "var/spool/equifield"


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def mount_like_compose(root: str) -> None:
    """The root file system read-only but for a volume, /tmp and /dev/shm in memory, and a few devices."""
    mount("--bind", root, root)
    mount("-o", "remount,bind,ro", root)
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev")
    for name in ("null", "zero", "full", "random", "urandom"):
        Path(root, "dev", name).touch()
        mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    Path(root, "dev/shm").mkdir()
    for folder, size in (("dev/shm", "5g"), ("tmp", "256m")):
        mount("-t", "tmpfs", "-o", f"mode=1777,noexec,nosuid,nodev,size={size}", "tmpfs", f"{root}/{folder}")
    owner = Path(root, VOLUME).stat()  # a volume begins as what the image has there
    mount("-t", "tmpfs", "-o", f"mode=700,uid={owner.st_uid},gid={owner.st_gid}", "tmpfs", f"{root}/{VOLUME}")


def run_image(
    root: str, env: dict[str, str], service: list[str], health: list[str], sample: str, predict: list[str]
) -> None:
    """Starts the service in its root, waits until it is healthy, predicts, stops it and looks at what it left."""
    mount_like_compose(root)
    shutil.copy(sample, Path(root, "tmp", "in.nc"))
    with socket.socket() as link:  # ip link set lo up
        fcntl.ioctl(link, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    chroot = [shutil.which("chroot") or "chroot", root]
    with subprocess.Popen([*chroot, *service], env=env) as process:
        deadline = time.monotonic() + START_PERIOD_S
        while subprocess.run([*chroot, *health], env=env, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise SystemExit(f"The image did not become healthy within {START_PERIOD_S} s.")
            time.sleep(1)
        sys.stderr.write("healthy\n")
        predicted = subprocess.run([*chroot, *predict], env=env).returncode
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_PERIOD_S)
    left = sorted(path.name for path in Path(root, "dev/shm").iterdir())
    if predicted:
        raise SystemExit(f"The prediction ended with status {predicted}.")
    if status or left:
        raise SystemExit(f"After SIGTERM the status was {status} and /dev/shm held {left}; both must be empty.")


if __name__ == "__main__":
    run_image(**json.loads(sys.argv[1]))
