"""The manifests in `deploy/` grant what the engines use, and nothing that changes or reveals more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from loopseal.engines.argocd_objects import REFRESH
from loopseal.engines.flux_inventory_reader import KNOWN, PLAIN
from loopseal.engines.flux_object import REQUESTED_AT
from loopseal.engines.flux_places import GIT_REPOSITORY, HELM_CHART, HELM_RELEASE, KUSTOMIZATION
from loopseal.engines.kubernetes import CHANGE
from loopseal.engines.workloads import KINDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.glob("*.yaml"))
READING = {"get", "list", "watch"}
NEVER = {"*", "create", "update", "delete", "deletecollection", "impersonate", "bind", "escalate"}
UNREAD = {"secrets", "configmaps", "serviceaccounts", "*"}


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def rules() -> list[dict[str, Any]]:
    roles = [one for file in FILES for one in documents(file) if one["kind"] in {"Role", "ClusterRole"}]
    return [rule for role in roles for rule in role["rules"]]


def granted(file: str, verb: str) -> set[tuple[str, str]]:
    return {
        (group, resource)
        for one in documents(DEPLOY / file)
        for rule in one.get("rules", ())
        if verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("file", FILES, ids=lambda one: one.name)
def test_each_says_what_it_is_for_and_is_in_the_guide(file: Path):
    assert file.read_text().startswith("# ")
    assert documents(file)
    assert f"deploy/{file.name}" in (ROOT / "docs/guide/least-privilege.md").read_text()


def test_nothing_is_granted_that_creates_deletes_or_reveals():
    assert len(rules()) >= 10
    for rule in rules():
        assert not NEVER & set(rule["verbs"]), rule
        assert not UNREAD & set(rule["resources"]), rule
        if not set(rule["verbs"]) <= READING:
            assert set(rule["verbs"]) <= READING | {"patch"}, rule
            assert all(group.endswith(("argoproj.io", "toolkit.fluxcd.io")) for group in rule["apiGroups"]), rule


def test_the_engines_objects_are_all_granted():
    for verb in ("get", "watch", "patch"):
        flux = {(one.group, one.plural) for one in (KUSTOMIZATION, HELM_RELEASE, GIT_REPOSITORY, HELM_CHART)}
        assert flux <= granted("flux-role.yaml", verb)
        assert {("argoproj.io", "applications")} <= granted("argocd-role.yaml", verb)
        assert flux | {("argoproj.io", "applications")} <= granted("team-namespaces.yaml", verb)


def test_what_is_read_of_workloads_is_granted():
    read = set(KINDS.values()) | {kind for (_, name), kind in KNOWN.items() if name not in PLAIN and kind.namespaced}
    assert {(one.group, one.plural) for one in read} <= granted("workloads-role.yaml", "get")
    assert {("", "events"), ("", "pods")} <= granted("workloads-role.yaml", "list")


def test_argocds_role_may_look_and_nothing_else():
    [project] = documents(DEPLOY / "argocd-project.yaml")
    policies = [policy.split(", ")[2:4] for role in project["spec"]["roles"] for policy in role["policies"]]
    assert policies == [["applications", "get"], ["logs", "get"]]


def test_the_policy_allows_the_annotations_that_we_write():
    policy, binding = documents(DEPLOY / "refresh-only-policy.yaml")
    [ours] = [one["expression"] for one in policy["spec"]["variables"] if one["name"] == "ours"]
    assert sorted(yaml.safe_load(ours)) == sorted([REFRESH, REQUESTED_AT, CHANGE])
    [rule] = policy["spec"]["matchConstraints"]["resourceRules"]
    groups = {group for one in rules() if "patch" in one["verbs"] for group in one["apiGroups"]}
    assert groups <= set(rule["apiGroups"]), "whatever may be patched is guarded"
    assert set(rule["operations"]) == {"CREATE", "UPDATE", "DELETE"}
    assert (policy["spec"]["failurePolicy"], binding["spec"]["validationActions"]) == ("Fail", ["Deny", "Audit"])


def test_every_subject_of_ours_is_guarded():
    policy = documents(DEPLOY / "refresh-only-policy.yaml")[0]
    matches = policy["spec"]["matchConditions"][0]["expression"]
    subjects = {
        f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
        for file in FILES
        if file.name != "team-namespaces.yaml"  # which says that its accounts are to be added
        for one in documents(file)
        for subject in one.get("subjects", ())
    }
    assert len(subjects) == 1
    assert all(f'"{subject}"' in matches for subject in subjects)
