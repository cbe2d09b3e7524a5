"""The decisions of a remote that speaks Git's protocol: what is asked, what is learnt, when a push is ambiguous."""

import asyncio
from dataclasses import dataclass, field

import pytest

from loopseal.errors import Code, ConfigError, Refused, Unreachable
from loopseal.git.objects import make
from loopseal.git.pack import PackBuilder
from loopseal.git.pktline import FLUSH, encode
from loopseal.git.protocol import Advertisement, Service
from loopseal.git.remote import ZERO, AmbiguousPush, Fetch, ObjectKind, RefUpdate
from loopseal.git.remotes.fallback import Fallback
from loopseal.git.remotes.wire import BIG, Filters, WireRemote

A, B = "a" * 40, "b" * 40
MAIN = "refs/heads/main"
BLOB = make(ObjectKind.BLOB, b"hello, world")


def pack_of(*objects):
    builder = PackBuilder()
    for one in objects:
        builder.add(one)
    return builder.build()


def answer(pack):
    bands = [b"\x01" + pack[at : at + 60_000] for at in range(0, len(pack), 60_000)]
    return encode(["packfile\n", *bands, FLUSH])


REFS = encode([f"{A} {MAIN}\n", FLUSH])
DONE = encode([b"\x01" + encode(["unpack ok\n", f"ok {MAIN}\n", FLUSH]), FLUSH])
ERR = encode(["ERR upload-pack: no\n"])
UPLOAD = Advertisement(2, {"fetch": "shallow filter", "object-format": "sha1"}, {})
RECEIVE = Advertisement(0, {"report-status": "", "atomic": ""}, {MAIN: A})
NOT_GIT = Unreachable(Code.GIT_PROTOCOL, "the host answered 400")


@dataclass
class Scripted:
    """A channel that answers from a list; what was asked is kept."""

    answers: list
    upload: object = UPLOAD
    receive: object = RECEIVE
    asked: list = field(default_factory=list)
    closed: bool = False
    url: str = "https://git.example.com/a.git"

    async def advertise(self, service):
        self.asked.append(f"what {service}")
        told = self.upload if service is Service.UPLOAD else self.receive
        if isinstance(told, Exception):
            raise told
        return told

    async def ask(self, service, body, version):
        self.asked.append((service, body, version))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def redact(self, text):
        return text.replace("hunter2", "***")

    async def aclose(self):
        self.closed = True

    @property
    def bodies(self):
        return [one[1] for one in self.asked if isinstance(one, tuple)]


def remote_of(*answers, **options):
    channel = Scripted(list(answers), **options)
    return WireRemote(channel), channel


def run(awaitable):
    async def main():
        return await awaitable

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("stance", "wanted", "allowed", "below"),
    [
        (Filters.TREES, "tree:2", "tree:2", Filters.COMMITS),
        (Filters.TREES, "tree:0", "tree:0", Filters.BLOBS),
        (Filters.TREES, "blob:none", "blob:none", None),
        (Filters.TREES, "", "", None),
        (Filters.COMMITS, "tree:2", "tree:0", Filters.BLOBS),
        (Filters.COMMITS, "blob:none", "blob:none", None),
        (Filters.BLOBS, "tree:0", "blob:none", None),
        (Filters.BLOBS, "blob:none", "blob:none", None),
        (Filters.NONE, "tree:0", "", None),
        (Filters.NONE, "blob:none", "", None),
    ],
)
def test_the_ladder_of_filters(stance, wanted, allowed, below):
    assert stance.allowed(wanted) == allowed
    assert stance.below(wanted) is below


def test_a_host_that_understands_is_asked_nothing_else():
    remote, channel = remote_of(REFS, answer(pack_of(BLOB)), DONE)
    assert run(remote.refs(MAIN)) == {MAIN: A}
    assert run(remote.fetch(Fetch((A,), filter="tree:2"), {})) == [BLOB]
    assert run(remote.push([RefUpdate(MAIN, A, B)], b"PACK")).ok
    assert [one[0] for one in channel.asked] == [Service.UPLOAD, Service.UPLOAD, Service.RECEIVE]
    assert remote.filters
    assert remote.url == channel.url


@pytest.mark.parametrize("first", [NOT_GIT, b"", b"garbage", ConfigError(Code.GIT_NOT_FOUND, "no such repository")])
def test_a_host_that_does_not_understand_is_asked_once_what_it_can(first):
    remote, channel = remote_of(first, REFS, b"")
    assert run(remote.refs(MAIN)) == {MAIN: A}
    assert channel.asked[1] == "what git-upload-pack"
    with pytest.raises(Unreachable):
        run(remote.refs(MAIN))
    assert len(channel.asked) == 4


@pytest.mark.parametrize("error", [Refused(Code.GIT_AUTHENTICATION, "no"), Unreachable(Code.NET_TIMEOUT, "late")])
def test_other_failures_are_not_talked_over(error):
    remote, channel = remote_of(error)
    with pytest.raises(type(error)):
        run(remote.refs(MAIN))
    assert len(channel.asked) == 1


def test_a_host_of_version_0_is_spoken_to_so():
    old = Advertisement(0, {"side-band-64k": ""}, {MAIN: A, "refs/tags/v1": B})
    raw = encode(["NAK\n", b"\x01" + pack_of(BLOB), FLUSH])
    remote, channel = remote_of(b"", raw, upload=old)
    assert run(remote.refs("refs/heads/")) == {MAIN: A}
    assert not remote.filters
    assert run(remote.fetch(Fetch((A,), filter="tree:2"), {})) == [BLOB]
    assert b"filter" not in channel.bodies[-1]
    assert channel.asked[-1][2] == 0


@pytest.mark.parametrize(
    "told", [Advertisement(2, {"object-format": "sha256"}, {}), Advertisement(0, {}, {MAIN: "c" * 64})]
)
@pytest.mark.parametrize("service", ["upload", "receive"])
def test_another_object_format_is_refused(told, service):
    remote, _ = remote_of(b"", b"", **{service: told})
    with pytest.raises(ConfigError) as caught:
        run(remote.refs(MAIN) if service == "upload" else remote.push([RefUpdate(MAIN, A, B)], b""))
    assert caught.value.code is Code.GIT_OBJECT_FORMAT


def test_a_refused_filter_is_widened_step_by_step_and_remembered():
    remote, channel = remote_of(ERR, ERR, answer(pack_of(BLOB)), answer(pack_of(BLOB)))
    assert run(remote.fetch(Fetch((A,), depth=1, filter="tree:2"), {})) == [BLOB]
    assert remote.filters
    run(remote.fetch(Fetch((A,), depth=1, filter="tree:2"), {}))
    filters = [body.partition(b"filter ")[2][:6] for body in channel.bodies]
    assert filters == [b"tree:2", b"tree:2", b"tree:0", b"tree:0"]


def test_a_host_without_tree_filters_gets_blob_filters():
    remote, channel = remote_of(ERR, ERR, ERR, answer(pack_of(BLOB)))
    run(remote.fetch(Fetch((A,), depth=1, filter="tree:2"), {}))
    assert b"filter blob:none" in channel.bodies[-1]
    assert not remote.filters


def test_an_object_that_is_not_there_changes_nothing_that_is_known():
    remote, channel = remote_of(ERR, ERR, ERR, ERR)
    with pytest.raises(Unreachable) as caught:
        run(remote.fetch(Fetch((A,), filter="tree:2"), {}))
    assert caught.value.code is Code.GIT_OBJECT_MISSING
    assert remote.filters
    assert len(channel.bodies) == 4


def test_a_host_without_filters_is_found_out():
    none = Advertisement(2, {"fetch": "shallow", "object-format": "sha1"}, {})
    remote, channel = remote_of(b"", answer(pack_of(BLOB)), ERR, upload=none)
    run(remote.fetch(Fetch((A,), depth=1, filter="tree:2"), {}))
    assert b"filter" not in channel.bodies[-1]
    assert not remote.filters
    with pytest.raises(Unreachable, match="would not hand out"):
        run(remote.fetch(Fetch((A,), depth=1, filter="tree:2"), {}))


def test_a_big_answer_is_unpacked_beside_the_loop():
    big = make(ObjectKind.BLOB, bytes(range(256)) * (BIG // 128))
    noisy = make(ObjectKind.BLOB, __import__("random").Random(1).randbytes(2 * BIG))
    remote, _ = remote_of(answer(pack_of(big, noisy)))

    async def main():
        ticks = 0
        task = asyncio.ensure_future(remote.fetch(Fetch((A,)), {}))
        while not task.done():
            await asyncio.sleep(0)
            ticks += 1
        return await task, ticks

    got, ticks = asyncio.run(main())
    assert got == [big, noisy]
    assert ticks > 5


# --- pushes


def test_several_refs_need_a_host_that_is_atomic():
    both = [RefUpdate(MAIN, A, B), RefUpdate("refs/x", ZERO, B)]
    remote, channel = remote_of(receive=Advertisement(0, {"report-status": ""}, {}))
    with pytest.raises(ConfigError, match="several refs"):
        run(remote.push(both, b""))
    assert channel.bodies == []


def test_a_host_that_took_no_push_is_asked_and_pushed_to_again():
    remote, channel = remote_of(NOT_GIT, DONE)
    assert run(remote.push([RefUpdate(MAIN, A, B)], b"PACK")).ok
    assert channel.asked[1] == "what git-receive-pack"
    remote, channel = remote_of(NOT_GIT, NOT_GIT)
    with pytest.raises(Unreachable):
        run(remote.push([RefUpdate(MAIN, A, B)], b"PACK"))
    assert len(channel.bodies) == 2


@pytest.mark.parametrize(
    "error", [AmbiguousPush("cut"), Refused(Code.GIT_FORBIDDEN, "no"), Unreachable(Code.GIT_RATE_LIMITED, "slow")]
)
def test_a_push_is_never_repeated_by_itself(error):
    remote, channel = remote_of(error)
    with pytest.raises(type(error)):
        run(remote.push([RefUpdate(MAIN, A, B)], b"PACK"))
    assert len(channel.asked) == 1


@pytest.mark.parametrize("receive", [RECEIVE, Unreachable(Code.NET_TIMEOUT, "late")])
@pytest.mark.parametrize("raw", [b"", DONE[:-4], b"<html>", encode(["ERR hunter2 went wrong\n"])])
def test_a_push_without_a_report_is_ambiguous(raw, receive):
    remote, channel = remote_of(raw, receive=receive)
    with pytest.raises(AmbiguousPush) as caught:
        run(remote.push([RefUpdate(MAIN, A, B)], b"PACK"))
    assert "hunter2" not in str(caught.value)
    assert len(channel.bodies) == 1


def test_a_push_without_a_report_to_no_repository_did_not_land():
    remote, _ = remote_of(b"", receive=ConfigError(Code.GIT_NOT_FOUND, "gone"))
    with pytest.raises(ConfigError):
        run(remote.push([RefUpdate(MAIN, A, B)], b"PACK"))


def test_what_a_host_says_of_a_ref_is_redacted():
    told = encode(["unpack ok\n", f"ng {MAIN} your password is hunter2\n", FLUSH])
    remote, _ = remote_of(encode([b"\x01" + told, FLUSH]))
    report = run(remote.push([RefUpdate(MAIN, A, B)], b"PACK"))
    assert report.refs[MAIN][1] == "your password is ***"


# --- the last resort


def test_the_fallback_takes_over_only_before_anything_was_understood():
    first, one = remote_of(b"", b"", REFS)
    second, two = remote_of(REFS, DONE)
    remote = Fallback(first, lambda: second)
    assert run(remote.refs(MAIN)) == {MAIN: A}
    assert one.closed
    assert run(remote.push([RefUpdate(MAIN, A, B)], b"PACK")).ok
    assert len(two.asked) == 2
    run(remote.aclose())
    assert two.closed
    assert remote.url == two.url
    assert remote.filters


def test_the_fallback_is_not_taken_once_the_way_is_settled():
    first, channel = remote_of(REFS, b"", b"")
    remote = Fallback(first, lambda: pytest.fail("must not be made"))
    assert run(remote.refs(MAIN)) == {MAIN: A}
    with pytest.raises(Unreachable):
        run(remote.fetch(Fetch((A,)), {}))
    assert not channel.closed


def test_the_fallback_is_not_taken_for_a_broken_way():
    first, _ = remote_of(Unreachable(Code.NET_TIMEOUT, "late"), REFS)
    remote = Fallback(first, lambda: pytest.fail("must not be made"))
    with pytest.raises(Unreachable):
        run(remote.refs(MAIN))
    assert run(remote.refs(MAIN)) == {MAIN: A}
