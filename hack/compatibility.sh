#!/bin/bash
# Runs every way into the frontend on BuildKit daemons of other versions, and
# prints what docs/compatibility.md is made from:
#
#   make tools image && sudo hack/compatibility.sh v0.12.5 v0.21.1 bin
#
# A version is built from its source, as its release was; "bin" is the daemon
# of `make tools`. Needs root, runc and a Go module proxy; no registry. What is
# built stays in COMPATIBILITY_DIR (a new temporary directory if unset).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

work=${COMPATIBILITY_DIR:-$(mktemp -d -t osbuildkit-compatibility-XXXXXX)}
mkdir -p "$work/manifests"
work=$(cd "$work" && pwd)
export BUILDX_CONFIG=$work/buildx
pid=
stop() {
	[ -n "$pid" ] || return 0
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	pid=
	rm -rf "$root/root" # the log stays
}
trap stop EXIT

# A stage that needs no package and no network.
stages='"stages": [{"name": "org.osbuild.hostname", "options": {"hostname": "test"}}]'
echo "{\"syntax\": \"osbuildkit/frontend\", $stages}" >"$work/manifests/json.json"
echo "{$stages}" >"$work/manifests/plain.json"
printf '// syntax=osbuildkit/frontend\n{%s}\n' "$stages" >"$work/manifests/slashes.json"
printf '# syntax=osbuildkit/frontend\n{%s}\n' "$stages" >"$work/manifests/hash.json"

daemon() { # daemon VERSION: the path of that version's buildkitd
	if [ "$1" = bin ]; then
		echo bin/buildkitd
		return
	fi
	local out=$work/$1/buildkitd src
	if [ ! -x "$out" ]; then
		# In its own module, so that it gets the libraries it was released with.
		src=$(go mod download -json "github.com/moby/buildkit@$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
		rm -rf "$work/$1/src" && mkdir -p "$work/$1" && cp -r "$src" "$work/$1/src" && chmod -R u+w "$work/$1/src"
		(cd "$work/$1/src" && CGO_ENABLED=0 GOFLAGS=-mod=mod go build -buildvcs=false \
			-ldflags "-s -w -X github.com/moby/buildkit/version.Version=$1" -o "$out" ./cmd/buildkitd) >&2
		rm -rf "$work/$1/src"
	fi
	echo "$out"
}

start() { # start PROGRAM
	root=$(mktemp -d -p "$work" daemon-XXXXXX)
	"$1" --root "$root/root" --addr "unix://$root/sock" --containerd-worker=false --oci-worker=true --oci-worker-net=host >"$root/log" 2>&1 &
	pid=$!
	for _ in $(seq 150); do
		[ ! -S "$root/sock" ] || return 0
		sleep 0.2
	done
	echo "the daemon does not listen: $root/log" >&2
	return 1
}

buildx() { # buildx MANIFEST [FLAGS]: the tree goes into $root/tree.tar
	local manifest=$1
	shift
	bin/buildx build --builder compatibility --progress plain --target tree --provenance=false \
		--build-context "osbuildkit/frontend=oci-layout://$work/frontend:latest" "$@" \
		-f "$work/manifests/$manifest" -o "type=tar,dest=$root/tree.tar" "$work/manifests"
}

buildctl() { # buildctl FRONTEND [FLAGS]
	local frontend=$1 digest
	shift
	digest=$(sed -n 's/.*"digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$work/frontend/index.json" | head -n 1)
	bin/buildctl --addr "unix://$root/sock" build --progress plain --frontend "$frontend" "$@" --opt target=tree \
		--local context="$work/manifests" --local dockerfile="$work/manifests" --opt filename=plain.json \
		--oci-layout "store=$work/frontend" --opt "context:osbuildkit/frontend=oci-layout://store@$digest" \
		--output "type=tar,dest=$root/tree.tar"
}

try() { # try NAME COMMAND...: "yes" if the tree is right, else the error
	local name=$1 log
	shift
	log=$root/try.log
	rm -f "$root/tree.tar"
	if "$@" >"$log" 2>&1 && [ "$(tar -xOf "$root/tree.tar" etc/hostname)" = test ]; then
		echo "$version | $name | yes"
	else
		echo "$version | $name | $(grep -i -E '^error: ' "$log" | tail -n 1)"
	fi
}

# The frontend image, by today's builder: the same for all of them.
if [ ! -f "$work/frontend/index.json" ]; then
	start bin/buildkitd
	bin/buildx rm --force compatibility >/dev/null 2>&1 || true
	bin/buildx create --name compatibility --driver remote "unix://$root/sock" >/dev/null
	bin/buildx build --builder compatibility --quiet --target frontend --build-context binaries=bin/image --provenance=false \
		-o "type=oci,tar=false,dest=$work/frontend" .
	stop
fi

for version in "$@"; do
	program=$(daemon "$version") || { echo "$version | cannot be built | "; continue; }
	start "$program"
	bin/buildx rm --force compatibility >/dev/null 2>&1 || true
	bin/buildx create --name compatibility --driver remote "unix://$root/sock" >/dev/null
	try 'JSON "syntax"' buildx json.json
	try 'BUILDKIT_SYNTAX' buildx plain.json --build-arg BUILDKIT_SYNTAX=osbuildkit/frontend
	try 'BUILDKIT_SYNTAX, buildx before 0.28' buildctl dockerfile.v0 --opt build-arg:BUILDKIT_SYNTAX=osbuildkit/frontend
	try '// syntax=' buildx slashes.json
	try '# syntax=' buildx hash.json
	try 'buildctl, gateway.v0' buildctl gateway.v0 --opt source=osbuildkit/frontend
	stop
done
