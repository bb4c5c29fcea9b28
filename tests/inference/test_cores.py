"""How many cores an affinity and the quotas of control groups leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wusum.inference.engine import available_cores

CORES = 8


def machine(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """Write what a kernel would show of control groups under another root."""
    listing = "".join(f"{30 + number} 23 0:28 {line}\n" for number, line in enumerate(mounts.splitlines()))
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": listing, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)), raising=False)


V2 = "/ /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw"
V1 = "/ /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
MEMORY = "/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_FOLDER = "sys/fs/cgroup/cpu,cpuacct"


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("groups", "mounts", "files", "cores"),
    [
        pytest.param("0::/\n", V2, {}, CORES, id="v2 without quota"),
        pytest.param("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "max 100000\n"}, CORES, id="v2 max"),
        pytest.param("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2 of the container"),
        pytest.param("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "390000 100000\n"}, 3, id="v2 rounded down"),
        pytest.param("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1, id="v2 half a core"),
        pytest.param("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, CORES, id="v2 more than there are"),
        pytest.param("0::/\n", V2, {"sys/fs/cgroup/cpu.max": "nonsense"}, CORES, id="v2 nonsense"),
        pytest.param(
            "0::/a.slice/b.service\n",
            V2,
            {"sys/fs/cgroup/a.slice/b.service/cpu.max": "300000 100000\n"},
            3,
            id="v2 of the service",
        ),
        pytest.param(
            "0::/a.slice/b.service\n",
            V2,
            {
                "sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a.slice/b.service/cpu.max": "max 100000\n",
                "sys/fs/cgroup/other.slice/cpu.max": "100000 100000\n",
            },
            2,
            id="v2 of a group above",
        ),
        pytest.param(
            "0::/../outside\n", V2, {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2 outside of the mount"
        ),
        pytest.param("4:cpu,cpuacct:/\n", V1, v1(V1_FOLDER, -1), CORES, id="v1 without quota"),
        pytest.param("4:cpu,cpuacct:/\n", V1, v1(V1_FOLDER, 200_000), 2, id="v1"),
        pytest.param("4:cpu,cpuacct:/\n", V1, v1(V1_FOLDER, 200_000, 0), CORES, id="v1 nonsense"),
        pytest.param("4:cpu,cpuacct:/x/y\n", V1, v1(f"{V1_FOLDER}/x", 300_000), 3, id="v1 of a group above"),
        pytest.param(
            "4:cpu,cpuacct:/docker/3f\n",
            V1.replace("/ ", "/docker/3f ", 1),
            v1(V1_FOLDER, 200_000),
            2,
            id="v1 in a container that sees the host's names",
        ),
        pytest.param("4:memory:/\n", MEMORY, v1("sys/fs/cgroup/memory", 200_000), CORES, id="v1 of another controller"),
        pytest.param(
            "4:cpu,cpuacct:/x\n0::/y\n",
            f"{V1}\n{V2.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified')}",
            v1(f"{V1_FOLDER}/x", 400_000) | {"sys/fs/cgroup/unified/y/cpu.max": "max 100000\n"},
            4,
            id="both",
        ),
    ],
)
def test_cores_are_capped_by_quotas(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], cores: int
) -> None:
    assert available_cores(machine(tmp_path, groups, mounts, files)) == cores


@pytest.mark.usefixtures("eight_cores")
def test_cores_without_control_groups_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == CORES
