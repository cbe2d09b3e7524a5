#!/usr/bin/env bash
# Debian packages that some tests use: the real OpenSSH server, ssh-agent and GnuPG. Where apt-get may not, those tests
# say that they are skipped and why.
set -euo pipefail
need=()
command -v gpg >/dev/null || need+=(gnupg)
command -v ssh-keygen >/dev/null || need+=(openssh-client)
[ -x /usr/sbin/sshd ] || need+=(openssh-server)
[ ${#need[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, and this user may not: ${need[*]} (the tests that need them are skipped)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing ${need[*]}"
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
