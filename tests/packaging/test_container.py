"""The container files: linted, and what they promise about users, file systems, ports and limits."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from equifield_service.settings import Settings
from equifield_service.workers.supervisor import SLOTS

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
UNPINNED = re.compile(r"curl|wget|ADD |--index-url|--trusted-host")


def stage(name: str) -> str:
    """The lines of one stage of the Dockerfile."""
    (found,) = (text for text in DOCKERFILE.split("\nFROM ")[1:] if text.splitlines()[0].endswith(f" AS {name}"))
    return found


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    hadolint = Path(sys.executable).with_name("hadolint")
    return subprocess.run([hadolint, dockerfile], capture_output=True, text=True)


def test_the_dockerfile_is_clean() -> None:
    result = lint(REPOSITORY / "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_linter_can_fail(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python\nRUN pip install numpy\n")
    assert lint(careless).returncode != 0


def test_both_targets_exist_and_the_cpu_is_the_default() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {"cpu", "gpu"} <= set(stages)
    assert stages[-1] == "cpu"
    assert all(stage(target).startswith("runtime AS") for target in ("cpu", "gpu"))


def test_the_image_does_not_run_as_root() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", stage("runtime"), re.MULTILINE)
    assert user is not None
    assert "0" not in user.groups()
    assert not any("USER" in stage(target) for target in ("cpu", "gpu"))


def test_every_package_is_installed_by_hash_or_from_our_own_wheel() -> None:
    installs = [line for line in DOCKERFILE.splitlines() if line.startswith("RUN pip") and " install " in line]
    assert len(installs) == 5
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    assert not UNPINNED.search(DOCKERFILE)


def test_the_health_check_asks_for_readiness_with_python() -> None:
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found is not None
    program, flag, code = json.loads(found[1])
    assert (program, flag) == ("python", "-c")
    assert "/healthz/ready" in code
    compile(code, "HEALTHCHECK", "exec")


@pytest.mark.parametrize(("ready", "status"), [(True, 0), (False, 1)], ids=["ready", "not there"])
def test_the_health_check_tells_ready_from_not(service_url: str, ready: bool, status: int) -> None:
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found is not None
    _, *arguments = json.loads(found[1])
    port = service_url.rsplit(":", 1)[1] if ready else "1"
    result = subprocess.run([sys.executable, *arguments], env={"EQUIFIELD_PORT": port}, capture_output=True)
    assert result.returncode == status


def test_the_build_sees_only_what_it_needs() -> None:
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] not in ("#", "")]
    assert rules[0] == "*"
    allowed = {rule[1:].rstrip("/") for rule in rules if rule.startswith("!")}
    copied = {
        word.split("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert allowed == copied


def test_only_the_cpu_service_starts_by_default() -> None:
    assert set(SERVICES) == {"cpu", "gpu"}
    assert "profiles" not in SERVICES["cpu"]
    assert SERVICES["gpu"]["profiles"] == ["gpu"]
    assert all(service["build"]["target"] == name for name, service in SERVICES.items())


def test_the_gpu_service_reserves_a_device() -> None:
    (device,) = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_only_who_publishes_on_loopback_lets_everyone_in(name: str) -> None:
    assert SERVICES[name]["environment"] == {"EQUIFIELD_OPEN": "true"}
    assert "EQUIFIELD_OPEN=" not in DOCKERFILE.replace("with EQUIFIELD_OPEN=true, for whoever", "")


def test_the_services_do_not_claim_the_same_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_the_store_is_read_only_and_the_spool_is_a_volume(name: str) -> None:
    mounts = {mount["target"]: mount for mount in SERVICES[name]["volumes"]}
    assert mounts["/models"]["read_only"] is True
    assert mounts["/models"]["source"] == "./models_store"
    assert mounts["/var/spool/equifield"]["type"] == "volume"
    assert mounts["/var/spool/equifield"]["source"] in COMPOSE["volumes"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_shared_memory_holds_the_arenas_of_every_process(name: str) -> None:
    settings = Settings(payload_processes=4)
    arenas = 2 * (settings.payload_processes + SLOTS) * settings.arena_bytes
    size = int(SERVICES[name]["shm_size"].removesuffix("gb")) * 2**30
    assert size >= arenas


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_the_service_has_time_to_drain(name: str) -> None:
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().grace_seconds
