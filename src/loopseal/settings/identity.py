"""Who runs this program, as the CI service or the operating system says.

For the record, not for access: whoever runs the command line holds the credentials already.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from loopseal.domain.identity import Actor, ActorKind


def actor_of(environ: Mapping[str, str]) -> Actor:
    """The CI job that these variables tell of, or else the person at the machine."""
    return _ci(environ) or _person()


def _ci(environ: Mapping[str, str]) -> Actor | None:
    """GitHub Actions (Forgejo and Gitea set the same variables), GitLab CI, Jenkins, by their documented variables."""
    if environ.get("GITHUB_ACTIONS") == "true":
        job = _joined(environ, "GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_RUN_ID")
        return _job(job, environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_ACTOR", ""))
    if environ.get("GITLAB_CI") == "true":
        job = _joined(environ, "CI_PROJECT_PATH", "CI_JOB_NAME", "CI_JOB_ID")
        return _job(job, environ.get("CI_SERVER_URL", ""), environ.get("GITLAB_USER_LOGIN", ""))
    if environ.get("JENKINS_URL"):
        return _job(_joined(environ, "JOB_NAME", "BUILD_NUMBER"), environ["JENKINS_URL"], "")
    return None


def _joined(environ: Mapping[str, str], *names: str) -> str:
    return ":".join(environ[name] for name in names if environ.get(name))


def _job(subject: str, issuer: str, person: str) -> Actor | None:
    if not subject or not issuer:
        return None
    behalf = Actor(person, issuer, ActorKind.PERSON) if person else None
    return Actor(subject, issuer, ActorKind.CI, behalf)


def _person() -> Actor:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run under ids that no file names
        name = f"uid-{uid}"
    return Actor(name, os.uname().nodename or "localhost", ActorKind.PERSON)
