"""Builds and runs the image without a container engine: the Dockerfile's own steps, in clean Debian roots.

    sudo python scripts/check_container.py [--target cpu] [--work DIRECTORY]

`debootstrap` makes a Debian root that stands for the base image; every stage is a copy of its parent in
which COPY, ENV, WORKDIR and RUN are done as written (`.dockerignore` included). The last stage is then
started the way docker-compose.yml does it: root file system read-only but for its volume, /tmp and /dev/shm
in memory, its user, no capabilities, a network of its own. Its HEALTHCHECK must pass, a real file must be
predicted, and SIGTERM must end it with nothing left in shared memory.

This is a check of the steps, not of Docker: the base image is Debian's Python instead of Docker Hub's.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SAMPLE = REPOSITORY / "examples" / "wind_temperature.nc"
PREDICT = ("wind-downscale-2d", "/tmp/in.nc", "-o", "/tmp/out.nc", "--map", "u:U,v:V")
LENT = ("PIP_CERT", "PIP_DEFAULT_TIMEOUT", "http_proxy", "https_proxy", "no_proxy")


@dataclass
class Stage:
    """One stage of the Dockerfile, and what its instructions have set so far."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    command: dict[str, list[str]] = field(default_factory=dict)


def parse(dockerfile: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages: dict[str, Stage] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, text = line.split(maxsplit=1)
        if keyword == "FROM":
            parent, _, name = text.partition(" AS ")
            stages[name] = Stage(name, parent)
        else:
            list(stages.values())[-1].steps.append((keyword, text.strip()))
    return stages


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Runs a command, and ends the check with its status when it fails."""
    say("+ " + shlex.join(map(str, command)))
    done = subprocess.run([str(part) for part in command], env=env)
    if done.returncode:
        raise SystemExit(f"`{shlex.join(map(str, command))}` ended with status {done.returncode}.")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def context_files(ignore: str) -> Iterator[Path]:
    """The files of the repository that the build may see, relative to its root."""
    rules = [line for line in ignore.splitlines() if line and not line.startswith("#")]
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = (Path(folder) / name).relative_to(REPOSITORY)
            kept = True
            for rule in rules:
                pattern = rule.lstrip("!").rstrip("/")
                names = [str(path), *map(str, path.parents)]
                if pattern.startswith("**/"):
                    names, pattern = list(path.parts), pattern.removeprefix("**/")
                if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in names):
                    kept = rule.startswith("!")
            if kept:
                yield path


def base_image(root: Path, suite: str) -> None:
    """A Debian root with Python that looks like the official image to the steps."""
    partial = root.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    run("debootstrap", "--variant=minbase", "--include=python3,python3-pip,python3-venv", suite, partial)
    for name in ("python", "pip"):
        (partial / "usr/local/bin" / name).symlink_to(f"/usr/bin/{name}3")
    for marker in partial.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for lent in (Path("/etc/resolv.conf"), CA_BUNDLE):
        target = partial / lent.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lent, target)
    partial.rename(root)


class Builder:
    """Carries out stages, each in a root of its own under `work`."""

    def __init__(self, stages: dict[str, Stage], work: Path, context: Path, suite: str) -> None:
        self.stages, self.work, self.context, self.suite = stages, work, context, suite
        self.done: set[str] = set()

    def root(self, name: str) -> Path:
        """The finished root of a stage or base image, made at its first use."""
        root = self.work / re.sub(r"\W", "-", name)
        if name not in self.stages:
            if not root.exists():  # a base image is kept from one run to the next
                base_image(root, self.suite)
        elif name not in self.done:
            shutil.rmtree(root, ignore_errors=True)
            self.build(self.stages[name], root)
            self.done.add(name)
        return root

    def build(self, stage: Stage, root: Path) -> None:
        """Copies the parent's root and carries out the steps in it."""
        run("cp", "-a", "--reflink=auto", self.root(stage.parent), root)
        if base := self.stages.get(stage.parent):
            stage.env, stage.command = dict(base.env), dict(base.command)
            stage.workdir, stage.user = base.workdir, base.user
        for keyword, text in stage.steps:
            self.step(stage, root, keyword, text)

    def step(self, stage: Stage, root: Path, keyword: str, text: str) -> None:
        """Carries out one instruction."""
        say(f"[{stage.name}] {keyword} {text}")
        if keyword == "RUN":
            script = f"cd {shlex.quote(stage.workdir)} && {text}"
            lent = {name: os.environ[name] for name in LENT if name in os.environ}
            run(shutil.which("chroot") or "chroot", root, "sh", "-c", script, env=lent | environment(stage))
        elif keyword == "COPY":
            self.copy(stage, root, text)
        elif keyword == "ENV":
            pairs = (pair.split("=", 1) for pair in shlex.split(text))
            path = environment(stage)["PATH"]
            stage.env.update({name: value.replace("$PATH", path) for name, value in pairs})
        elif keyword == "WORKDIR":
            stage.workdir = text
            (root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif keyword == "USER":
            stage.user = text
        elif keyword in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
            stage.command[keyword] = json.loads(text[text.index("[") :])
        elif keyword not in ("EXPOSE", "STOPSIGNAL"):
            raise SystemExit(f"The Dockerfile uses {keyword}, which this check does not know. Add it to step().")

    def copy(self, stage: Stage, root: Path, text: str) -> None:
        """COPY [--from=stage] source... target, with Docker's rule that a folder means its contents."""
        words = text.split()
        source_root = self.context
        if words[0].startswith("--from="):
            source_root = self.root(words.pop(0).removeprefix("--from="))
        *sources, target = words
        into = root / os.path.join(stage.workdir, target).lstrip("/")
        for source in (source_root / name.lstrip("/") for name in sources):
            if source.is_dir():
                shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True)
            else:
                name = into / source.name if len(sources) > 1 or target.endswith("/") else into
                name.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, name)


def environment(stage: Stage) -> dict[str, str]:
    """What a process of this stage finds in its environment."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"} | stage.env


def start(root: Path, stage: Stage) -> None:
    """Runs the image in namespaces of its own until it is healthy, then stops it."""
    uid, _, gid = stage.user.partition(":")
    drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    drop += ["--bounding-set=-all", "--inh-caps=-all", "env", "--chdir", stage.workdir]
    inside = {
        "root": str(root),
        "env": environment(stage) | {"EQUIFIELD_OPEN": "true"},
        "service": [*drop, *stage.command["ENTRYPOINT"], *stage.command["CMD"]],
        "health": [*drop, *stage.command["HEALTHCHECK"]],
        "sample": str(SAMPLE),
        "predict": [*drop, "equifield", "predict", *PREDICT],
    }
    namespaces = ["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child"]
    run(*namespaces, sys.executable, Path(__file__).with_name("run_image.py"), json.dumps(inside))


def check(target: str, work: Path, suite: str, build_only: bool) -> None:
    """Builds the target under `work` and runs it."""
    context = work / "context"
    shutil.rmtree(context, ignore_errors=True)
    for path in context_files((REPOSITORY / ".dockerignore").read_text()):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / path, context / path)
    stages = parse((REPOSITORY / "Dockerfile").read_text())
    root = Builder(stages, work, context, suite).root(target)
    if not build_only:
        start(root, stages[target])
    say(f"The steps of target '{target}' work.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cpu", help="the stage to build")
    parser.add_argument("--work", type=Path, help="where to build and keep the roots (some gigabytes)")
    parser.add_argument("--suite", default="bookworm", help="the Debian release that stands for the base image")
    parser.add_argument("--build-only", action="store_true", help="do not start the image")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        check(options.target, work, options.suite, options.build_only)


if __name__ == "__main__":
    main()
