"""Redaction: planted secrets never survive, and what people need to read does."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.net import clean

alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
tokens = st.text(alphabet + "_-", min_size=12, max_size=40).map(lambda text: f"{text}7Q")
passwords = st.text(alphabet + "!$%()*+./:=?@^_~-", min_size=10, max_size=24).map(lambda text: f"{text}7Q")
prose = st.text("abc .,:;\n\"'{}[]()=/&?", max_size=30)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def jwt(secret: str) -> str:
    return ".".join([encoded('{"alg":"RS256"}'), encoded(f'{{"sub":"{secret}"}}'), encoded(secret)])


SHAPES = [
    "Authorization: Bearer {}",
    "authorization: token {}",
    "Authorization: Basic {}",
    "{{'Authorization': 'Bearer {}'}}",
    "bearer {}",
    "Cookie: argocd.token={}; path=/",
    "Set-Cookie: session={}; HttpOnly",
    "https://bot:{}@git.example.com/a.git",
    "https://{}@git.example.com/a.git",
    "fatal: could not read from 'https://x:{}@h/p'",
    "?private_token={}&x=1",
    "access_token={}",
    "--password={}",
    "password: {}",
    "PASSWORD = {}",
    '{{"password": "{}"}}',
    '{{"token":"{}","x":1}}',
    '{{"client_secret" : "{}"}}',
    "{{'api_key': '{}'}}",
    "GITHUB_TOKEN={}",
    "ARGOCD_AUTH_TOKEN='{}'",
    'VAULT_TOKEN="{}"',
    "aws_secret_access_key = {}",
    "ghp_{}",
    "github_pat_{}",
    "glpat-{}",
    "xoxb-{}",
    "hvs.{}",
    "npm_{}",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}",
]


@pytest.mark.parametrize("shape", SHAPES)
@given(secret=tokens, before=prose, after=prose)
def test_a_planted_token_never_survives(shape: str, secret: str, before: str, after: str):
    told = clean(f"{before} {shape.format(secret)} {after}", 2000)
    assert secret not in told


@given(passwords.filter(lambda text: "/" not in text), prose)
def test_a_password_in_an_address_never_survives(secret: str, after: str):
    assert secret not in clean(f"fatal: https://bot:{secret}@git.example.com/ {after}")


@given(st.text('abc7Q!"\\ ,;&', min_size=8, max_size=20).filter(lambda text: text.strip() == text))
def test_a_password_in_json_never_survives_whatever_is_in_it(secret: str):
    import json

    told = clean(json.dumps({"password": secret, "next": "field"}))
    assert json.dumps(secret)[1:-1] not in told
    assert "next" in told


@given(tokens, prose, prose)
def test_a_web_token_never_survives(secret: str, before: str, after: str):
    whole = jwt(secret)
    told = clean(f"{before} {whole} {after}", 2000)
    assert all(part not in told for part in whole.split("."))


@given(tokens, st.integers(1, 60))
def test_a_web_token_that_was_cut_does_not_survive_either(secret: str, length: int):
    part = jwt(secret)[: 12 + length]
    assert part not in clean(f"invalid session: {part}")


@given(tokens, st.integers(1, 200))
def test_cutting_comes_after_cleaning(secret: str, limit: int):
    told = clean(f"Authorization: Bearer {secret} and then much more text that is harmless", limit)
    assert len(told) <= limit
    assert secret[:8] not in told


@pytest.mark.parametrize(
    "text",
    [
        "rpc error: code = Unauthenticated desc = invalid session: token signature is invalid",
        "failed to get secret: not found",
        'Secret "argocd-tls-7d9f" not found',
        "spec.volumes[0].secretName: argocd-tls-7d9f",
        "token verification failed",
        "basic authentication is disabled",
        "application-controller.argocd-system.svc-cluster-local-7",
        "author: Ann1234567",
        "ComparisonError: failed to load target state: rpc error: revision 4a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "registry.example.com:5000/team/web@sha256:4a1b2c3d4e5f",
        "Deployment/web: 0/1 replicas, ImagePullBackOff",
        "git@github.com:team/repo.git",
        "größer ✓\nsecond line",
    ],
)
def test_what_people_need_stays(text: str):
    assert clean(text) == text


def test_the_kind_of_a_secret_stays():
    assert clean("Authorization: Bearer abcdefgh12 was refused") == "Authorization: Bearer *** was refused"
    assert clean("https://bot:x@h.example.com/p is gone") == "https://***@h.example.com/p is gone"
    assert clean("a?token=abc&x=1") == "a?token=***&x=1"


def test_control_characters_are_gone():
    assert clean("a\x1b[31mred\x00\u202e\r\nb") == "a [31mred   \nb"


@given(st.text(), st.integers(1, 100))
def test_any_text_is_made_fit(text: str, limit: int):
    told = clean(text, limit)
    assert len(told) <= limit
    assert all(char.isprintable() or char == "\n" for char in told)


@given(st.text(alphabet=alphabet + ' \n=:"&;,/@.-_*', max_size=80))
def test_cleaning_twice_changes_nothing_more(text: str):
    assert clean(clean(text)) == clean(text)
