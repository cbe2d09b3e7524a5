#!/usr/bin/env bash
# Debian packages that some tests use: the real OpenSSH server, ssh-agent, GnuPG, and the Redis of the real Argo CD.
# Where apt-get may not, those tests say that they are skipped and why.
set -euo pipefail
need=()
command -v gpg >/dev/null || need+=(gnupg)
command -v ssh-keygen >/dev/null || need+=(openssh-client)
[ -x /usr/sbin/sshd ] || need+=(openssh-server)
command -v redis-server >/dev/null || need+=(redis-server)
[ ${#need[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, and this user may not: ${need[*]} (the tests that need them are skipped)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
export RUNLEVEL=1 # Debian starts no service that it installs: the tests start their own
echo "installing ${need[*]}"
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
