"""Every file of cluster/ is valid, as far as that can be seen without the cluster."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import deployment
import jsonschema
import kubernetes_validate
import pytest
import yaml
from deployment import CLUSTER, ISAAC, MUJOCO, ROOT, read, run, tool

KUBERNETES = "1.32"  # the schemas to check with
MERGED = {"RayJob": MUJOCO / "rayjob.yaml", "RayCluster": MUJOCO / "raycluster.yaml"}
SCRIPTS = sorted([*CLUSTER.rglob("*.sh"), *CLUSTER.rglob("*.sbatch")])


def rays() -> list[Any]:
    """Every RayJob and RayCluster, Isaac Sim's made by its overlay."""
    return [*map(read, MERGED.values()), *map(deployment.isaac, MERGED)]


def check_pod(spec: Any) -> None:
    """Check against Kubernetes' PodSpec, unknown fields refused."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def check_ray(resource: Any) -> None:
    """Check against the schema beside this file, and its pods against Kubernetes'."""
    jsonschema.validate(resource, json.loads((Path(__file__).parent / "kuberay.schema.json").read_text()))
    for spec in deployment.pod_specs(resource):
        check_pod(spec)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    run(tool("shellcheck"), script)


@pytest.mark.parametrize("name", ["mujoco", "isaac"])
def test_container_files_pass_hadolint(name: str) -> None:
    run(tool("hadolint"), "--failure-threshold", "warning", CLUSTER / "container" / f"Containerfile.{name}")


def test_a_container_file_copies_only_what_exists() -> None:
    for path in (CLUSTER / "container").glob("Containerfile.*"):
        for script in re.findall(r"/src/(\S+\.sh)", path.read_text()):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize("name", ["storage.yaml", "network.yaml"])
def test_core_objects_are_valid(name: str) -> None:
    kubernetes_validate.validate(read(MUJOCO / name), KUBERNETES, strict=True)


@pytest.mark.parametrize("resource", rays(), ids=lambda r: f"{r['kind']}-{deployment.containers(r)[0]['image']}")
def test_ray_resources_are_valid(resource: Any) -> None:
    check_ray(resource)
    assert cluster_ray_version(resource) == version("ray")
    pods = deployment.pod_specs(resource)
    mounted = {m["name"] for pod in pods for c in pod["containers"] for m in c["volumeMounts"]}
    assert mounted == {v["name"] for pod in pods for v in pod["volumes"]}
    claims = {v["persistentVolumeClaim"]["claimName"] for pod in pods for v in pod["volumes"]}
    assert claims == {read(MUJOCO / "storage.yaml")["metadata"]["name"]}


def cluster_ray_version(resource: Any) -> str:
    """The Ray version a resource asks for."""
    return deployment.cluster_spec(resource)["rayVersion"]


def test_the_checks_refuse_what_is_wrong() -> None:
    def broken(change: Any) -> Any:
        resource = read(MUJOCO / "rayjob.yaml")
        change(resource)
        return resource

    with pytest.raises(jsonschema.ValidationError):
        check_ray(broken(lambda r: r["spec"].update(entrypont="x")))
    with pytest.raises(jsonschema.ValidationError):
        check_ray(broken(lambda r: deployment.cluster_spec(r)["workerGroupSpecs"][0].update(replicas="4")))
    with pytest.raises(kubernetes_validate.ValidationError):
        check_ray(broken(lambda r: deployment.containers(r)[0].update(volumeMount=[])))


def test_job_and_standing_cluster_have_one_spec() -> None:
    job, cluster = (read(MERGED[k]) for k in ("RayJob", "RayCluster"))
    assert deployment.cluster_spec(job) == deployment.cluster_spec(cluster)
    assert deployment.cluster_spec(deployment.isaac("RayJob")) == deployment.cluster_spec(
        deployment.isaac("RayCluster")
    )


def test_a_cluster_asks_for_a_token_and_runs_as_a_plain_user() -> None:
    for resource in rays():
        assert deployment.cluster_spec(resource)["authOptions"] == {"mode": "token"}
        for pod in deployment.pod_specs(resource):
            assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in deployment.containers(resource):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_slurm_and_cloud_ask_for_a_token() -> None:
    assert re.search(r"^export RAY_AUTH_MODE=token$", (CLUSTER / "slurm" / "synthgen.sbatch").read_text(), re.M)
    cloud = read(CLUSTER / "ray" / "cloud.yaml")
    assert "~/.ray/auth_token" in cloud["file_mounts"]
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert all(c.startswith("RAY_AUTH_MODE=token ") for c in cloud[key] if "ray start" in c)
        assert any("ray start" in c for c in cloud[key])


def test_isaac_workers_have_one_gpu_and_wait_for_the_licence() -> None:
    for kind in MERGED:
        head, worker = deployment.containers(deployment.isaac(kind))
        assert {head["image"], worker["image"]} == {"synthgen-isaac:latest"}
        assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert worker["envFrom"] == [{"configMapRef": {"name": "isaac-licence"}}]


def test_nothing_accepts_a_licence_for_the_user() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            lines = [x for x in path.read_text().splitlines() if not x.lstrip().startswith(("#", "//"))]
            assert not [x for x in lines if "ACCEPT_EULA" in x or "PRIVACY_CONSENT" in x], path


def test_kustomize_makes_what_the_tests_check() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    made = {d["kind"]: d for d in yaml.safe_load_all(run("kubectl", "kustomize", ISAAC))}
    assert set(made) == {"PersistentVolumeClaim", "NetworkPolicy", "RayJob"}
    assert made["RayJob"] == deployment.isaac("RayJob")


def test_cloud_cluster_matches_rays_own_schema() -> None:
    cloud = read(CLUSTER / "ray" / "cloud.yaml")
    spec = find_spec("ray")
    assert spec is not None and spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(cloud, schema)
    assert cloud["head_node_type"] in cloud["available_node_types"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cloud | {"file_mount": {}}, schema)


def test_workflow_is_one_and_needs_few_rights() -> None:
    workflow = read(CLUSTER / "ci" / "synthgen.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert True in workflow  # YAML 1.1 reads the key `on` so; GitHub reads it as `on`
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 30
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_no_file_names_a_registry_host_or_a_machine_path() -> None:
    for path in CLUSTER.rglob("*"):
        if path.is_file() and path.suffix != ".json":
            text = path.read_text()
            assert not re.search(r"nvcr\.io|docker\.io|ghcr\.io|pypi\.org|pythonhosted|npmjs", text), path
            assert not re.search(r"(^|[\s\"'=])(/work|/root)(/|\b(?!\S))", text, re.M) or path.name == "check.sh", path
