"""Ways to reach one remote repository, and the choice between them.

May live here: what implements `loopseal.git.remote.Remote` by smart HTTP, OpenSSH, a local folder or the `git`
program. May not: anything that knows branches, edits or changes. Each way is held by the same contract tests.
"""

from __future__ import annotations

from loopseal.git.remotes.opening import open_remote

__all__ = ["open_remote"]
