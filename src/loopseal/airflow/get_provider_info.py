"""What Airflow is told about this provider: connection types and their forms, configuration, decorators, links.

Data only. Airflow reads it in every process at start, so nothing is imported here but the version.
"""

from __future__ import annotations

from typing import Any, Final

from loopseal import __version__

_NAME: Final = "loopseal"


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


_GIT: Final[dict[str, Any]] = {
    "connection-type": "loopseal_git",
    "hook-class-name": "loopseal.airflow.hooks.git.GitHook",
    "hook-name": "loopseal: Git repository",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "extra"],
        "relabeling": {"host": "Repository URL", "login": "User name", "password": "Token or password"},
        "placeholders": {
            "host": "https://git.example.com/platform/apps.git",
            "login": "empty for a bare token; some hosts want oauth2 or x-access-token",
        },
    },
    "conn-fields": {
        "private_key": _text("SSH private key", "For ssh:// URLs; an OpenSSH key.", format="multiline"),
        "private_key_passphrase": _text("Passphrase of the key", "Where the key has one.", format="password"),
        "branch": _text("Branch", "What *Test* looks at; targets name their own.", default="main"),
        "ca": _text("CA file", "Certificate authorities to trust instead of the system's."),
        "known_hosts": _text("known_hosts file", "For ssh://; default: the user's."),
    },
}

_ARGOCD: Final[dict[str, Any]] = {
    "connection-type": "loopseal_argocd",
    "hook-class-name": "loopseal.airflow.hooks.argocd.ArgoCDHook",
    "hook-name": "loopseal: Argo CD",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "login", "extra"],
        "relabeling": {"host": "Server URL", "password": "API token"},
        "placeholders": {"host": "https://argocd.example.com"},
    },
    "conn-fields": {
        "ca": _text("CA file", "Certificate authorities to trust instead of the system's."),
        "project": _text("Project", "Of applications that name none."),
    },
}

_KUBERNETES: Final[dict[str, Any]] = {
    "connection-type": "loopseal_kubernetes",
    "hook-class-name": "loopseal.airflow.hooks.kubernetes.KubernetesHook",
    "hook-name": "loopseal: Kubernetes (Flux, Argo CD objects)",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "login", "extra"],
        "relabeling": {"host": "API server URL", "password": "Bearer token"},
        "placeholders": {"host": "empty when a kubeconfig is given"},
    },
    "conn-fields": {
        "kubeconfig": _text("kubeconfig", "The whole file; it is kept as a secret.", format="multiline"),
        "context": _text("Context", "Default: the kubeconfig's current one."),
        "namespace": _text("Namespace", "What *Test* looks at; default: flux-system."),
        "ca": _text("CA file", "Certificate authorities to trust instead of the system's."),
    },
}

_CONFIG: Final[dict[str, Any]] = {
    "loopseal": {
        "description": "Where loopseal's settings are, and what every Dag must keep to.",
        "options": {
            "config": {
                "description": (
                    "The settings file: repositories, engines, targets. It must be there on workers and triggerers; "
                    "where the Dag processor has it too, Dags are checked while they are parsed. "
                    "Without it the environment variable LOOPSEAL_CONFIG is used."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "/etc/loopseal/loopseal.yaml",
                "default": "",
            },
            "instance": {
                "description": (
                    "Name of this Airflow in commits and records. Default: `[api] base_url`. "
                    "Airflows that write to the same repository need different names."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "airflow-production",
                "default": "",
            },
            "check_targets": {
                "description": (
                    "Fail a Dag while it is parsed when it names a target that is not declared, or one that does not "
                    "list the Dag. Without a settings file nothing is checked."
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": None,
                "default": "True",
            },
            "require_target_for": {
                "description": (
                    "Tags of Dags, separated by commas (`*` for all), whose tasks must write out the target that they "
                    "change: a template would hide from reviewers, and from this check, where the change goes."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "production",
                "default": "",
            },
            "restrict_labels": {
                "description": (
                    "Labels of targets, `name=value` separated by commas: only Dags tagged with the value may use "
                    "targets that carry the label."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "tier=production",
                "default": "",
            },
        },
    }
}


def get_provider_info() -> dict[str, Any]:
    """The provider's description, as `airflow/provider_info.schema.json` wants it."""
    return {
        "package-name": _NAME,
        "name": "loopseal",
        "description": "Changes to Git repositories that are done when Argo CD or Flux has them live and healthy.",
        "versions": [__version__],
        "integrations": [{"integration-name": _NAME, "tags": ["service"]}],
        "operators": [
            {
                "integration-name": _NAME,
                "python-modules": [
                    "loopseal.airflow.operators.act",
                    "loopseal.airflow.operators.change",
                    "loopseal.airflow.operators.revert",
                ],
            }
        ],
        "sensors": [{"integration-name": _NAME, "python-modules": ["loopseal.airflow.sensors.health"]}],
        "triggers": [
            {
                "integration-name": _NAME,
                "python-modules": ["loopseal.airflow.triggers.change", "loopseal.airflow.triggers.health"],
            }
        ],
        "hooks": [
            {
                "integration-name": _NAME,
                "python-modules": [
                    "loopseal.airflow.hooks.argocd",
                    "loopseal.airflow.hooks.git",
                    "loopseal.airflow.hooks.kubernetes",
                ],
            }
        ],
        "connection-types": [_GIT, _ARGOCD, _KUBERNETES],
        "extra-links": ["loopseal.airflow.links.CommitLink", "loopseal.airflow.links.ApplicationLink"],
        "task-decorators": [
            {"name": "gitops_change", "class-name": "loopseal.airflow.decorators.change.gitops_change_task"}
        ],
        "config": _CONFIG,
    }
