# Everything that the targets need is installed by `make setup`, which does
# something only on a machine that lacks it.

GO        ?= go
ARCHES    := amd64 arm64
GROUPS    := stages packages assemblers programs
STORE     ?= .osbuild
OUTPUT    ?= output
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
RUNNERS   := $(foreach a,$(ARCHES),$(foreach g,$(GROUPS),internal/runners/bin/osbuildkit-runner-$(g)-linux-$(a).zst))
GOFILES   := $(shell find . -name '*.go' -not -path './tools/*' -not -name '*_test.go') go.mod go.sum $(shell find . -path '*/schema/*.json' -o -path './debian/keyring/*' -o -path './stages/packages/*.py')

# Programs are static and do not know the directory that they were built in;
# with the same settings everywhere, builds and tests share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath

.PHONY: all build image programs cross demo test test-unit test-e2e test-frontend image-here test-boots test-machine test-kills test-rpm bench bench-cache bench-disk bench-rpm bench-check fuzz lint generate setup tools clean

all: build

build: bin/osbuildkit bin/osbuildkit-runner

# Runners are part of the cache key of every step, so their bytes depend on
# nothing but the source: no path, no build id, no VCS state, no cgo.
define runner
internal/runners/bin/osbuildkit-runner-$(1)-linux-$(2).zst: $$(GOFILES)
	GOOS=linux GOARCH=$(2) $$(GO) build -buildvcs=false -tags runner_$(1) -ldflags='-s -w -buildid=' \
	  -o bin/runners/osbuildkit-runner-$(1)-linux-$(2) ./cmd/osbuildkit-runner
	GOOS= GOARCH= $$(GO) run ./internal/runners/pack bin/runners/osbuildkit-runner-$(1)-linux-$(2) $$@
endef
$(foreach a,$(ARCHES),$(foreach g,$(GROUPS),$(eval $(call runner,$(g),$(a)))))

bin/osbuildkit: $(RUNNERS)
	$(GO) build -buildvcs=false -ldflags='-s -w -X github.com/osbuildkit/osbuildkit/internal/cli.Version=$(VERSION)' -o $@ ./cmd/osbuildkit

# The command line for each of PLATFORMS, as a release holds it:
# bin/osbuildkit-darwin-arm64 and so on. All hold the runners for Linux.
PLATFORMS ?= $(foreach o,linux darwin windows,$(foreach a,amd64 arm64,$(o)/$(a)))
programs: $(RUNNERS)
	set -e; for p in $(PLATFORMS); do o=$${p%/*} a=$${p#*/} e=; test $$o != windows || e=.exe; \
	  GOOS=$$o GOARCH=$$a $(GO) build -buildvcs=false -ldflags='-s -w -X github.com/osbuildkit/osbuildkit/internal/cli.Version=$(VERSION)' \
	    -o bin/osbuildkit-$$o-$$a$$e ./cmd/osbuildkit; \
	done

# That it compiles and links for macOS and Windows. With an empty build cache a
# platform takes about 130 s of one core, as they share nothing; so `make test`
# leaves out linux/arm64, which has no files of its own (CROSS=linux/arm64). vet
# would add nothing: of a program for another system it looks at main alone.
CROSS ?= darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
cross:
	set -e; for p in $(CROSS); do \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./cmd/osbuildkit; \
	done

bin/osbuildkit-runner: $(GOFILES)
	$(GO) build -buildvcs=false -ldflags='-s -w' -o $@ ./cmd/osbuildkit-runner

# What the frontend image holds, a directory for each of ARCHES. The runners
# are those of the command line: the two routes share one cache. Everything is
# built so that it is the same bytes wherever it is built. Without gRPC's trace
# pages, and the templates behind them, the linker leaves out a quarter; with
# describe_only also what modules do, which is the runners' work.
IMAGE ?= bin/image
image: $(foreach a,$(ARCHES),$(foreach g,$(GROUPS),internal/runners/bin/osbuildkit-runner-$(g)-linux-$(a).zst))
	set -e; for a in $(ARCHES); do \
	  mkdir -p $(IMAGE)/linux-$$a; \
	  GOOS=linux GOARCH=$$a $(GO) build -tags grpcnotrace,describe_only -buildvcs=false -ldflags='-s -w -buildid=' -o $(IMAGE)/linux-$$a/osbuildkit-frontend ./cmd/osbuildkit-frontend; \
	  for g in $(GROUPS); do cp bin/runners/osbuildkit-runner-$$g-linux-$$a $(IMAGE)/linux-$$a/osbuildkit-runner-$$g; done; \
	done

setup:
	@sh ./hack/setup.sh

# The main job: build an image, boot it, and ask its web server for a page.
demo: setup build
	bin/osbuildkit build --store $(STORE) -o $(OUTPUT) examples/debian-nginx.json
	bin/osbuildkit boot --timeout 10m --forward 8080:80 --wait-for 'login:' --wait-for http://127.0.0.1:8080/ $(OUTPUT)/debian-nginx.qcow2

# Tools first: some unit tests use the real buildctl and buildx where they are.
test: build tools test-unit cross test-e2e

# Without root, without network: what a change is checked with while it is made.
test-unit: setup build
	$(GO) vet ./...
	$(GO) vet -tags e2e ./test/... ./stages/packages
	$(GO) test ./...

# Real builds with real packages in the embedded engine and a real daemon, and
# real boots. Needs root and a Debian mirror.
test-e2e: setup build tools image-here
	OSBUILDKIT=$(CURDIR)/bin/osbuildkit $(GO) test -count=1 -timeout 60m -tags e2e ./test/... ./stages/packages

# The part of it that goes through the frontend image: buildkitd, buildx,
# buildctl, registries, several builders.
test-frontend: setup build tools image-here
	OSBUILDKIT=$(CURDIR)/bin/osbuildkit $(GO) test -count=1 -timeout 60m -tags e2e -run '^TestFrontend' ./test

# Boots every combination of format, boot loader and file system; the end-to-end
# tests boot some. So with the recipes of docs/recipes.md. Boots machines again with a kernel that came later. Takes about half an hour without KVM.
test-boots: setup build
	OSBUILDKIT_BOOTS=all OSBUILDKIT=$(CURDIR)/bin/osbuildkit $(GO) test -v -count=1 -timeout 120m -tags e2e -run '^(TestBoots|TestRecipes|TestLaterKernel|TestLaterKernelBoots)$$' ./test

# A machine with many services: on a larger disk than its image, brought up to date,
# booted again; BIOS and UEFI, two machines of one image. The end-to-end tests do
# the first boot with BIOS. Takes about ten minutes without KVM.
test-machine: setup build
	OSBUILDKIT_MACHINE=all OSBUILDKIT=$(CURDIR)/bin/osbuildkit $(GO) test -v -count=1 -timeout 120m -tags e2e -run '^TestMachine$$' ./test

# Ends a build at 40 random points and builds again each time; the end-to-end tests
# do some.
test-kills: setup build
	OSBUILDKIT_KILLS=$${OSBUILDKIT_KILLS:-40} OSBUILDKIT=$(CURDIR)/bin/osbuildkit $(GO) test -v -count=1 -timeout 120m -tags e2e -run '^TestKillPoints$$' ./test

# The stages that install RPM packages, on a distribution that is made for it,
# and with more build roots than the end-to-end tests.
test-rpm: setup build
	OSBUILDKIT_KEYS=all OSBUILDKIT=$(CURDIR)/bin/osbuildkit $(GO) test -count=1 -timeout 60m -tags e2e -run '^TestRPM' ./test

# The image's files for this machine alone.
image-here:
	$(MAKE) image ARCHES=$(shell $(GO) env GOHOSTARCH)

tools: bin/buildkitd bin/buildctl bin/buildx

bin/buildkitd bin/buildctl bin/buildx &: tools/go.mod tools/go.sum
	$(GO) build -C tools -ldflags "-s -w -X github.com/moby/buildkit/version.Version=v0.34.2 -X github.com/docker/buildx/version.Version=v0.38.2" -o ../bin/ tool
	@touch bin/buildkitd bin/buildctl bin/buildx

bench: setup build
	sh ./hack/bench.sh

# What exporting and importing caches costs, with daemons as they are released.
bench-cache: setup build tools
	$(GO) run ./test/bench -program bin/osbuildkit -cache bin/buildkitd

# Assembly of a disk beside the privileged way, in one run. Both work in memory,
# as an assembler's step does where there is enough of it. Needs root.
bench-disk: setup
	TMPDIR=$${TMPDIR:-/dev/shm} $(GO) test -run '^$$' -bench 'BenchmarkDisk$$' -benchtime $${OSBUILDKIT_BENCH_ROUNDS:-5}x ./assemblers

# What the installation of about 200 RPM packages costs, beside dnf as root.
bench-rpm: setup build
	$(GO) run ./test/bench -program bin/osbuildkit -rpm

# What checking costs: 20 manifests of 16 MiB that are made to cost as much as
# they can, and an honest one of 2 MB.
bench-check:
	$(GO) test -run '^$$' -bench '^BenchmarkCheck$$' -benchtime $${OSBUILDKIT_BENCH_ROUNDS:-1}x ./internal/cli

# Runs every fuzz target of the repository for FUZZTIME each. What one finds is
# kept as a file below testdata, and "go test" tries it ever after.
FUZZTIME ?= 20s
fuzz:
	sh ./hack/fuzz.sh $(FUZZTIME)

generate:
	$(GO) generate ./...

lint:
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; else echo "golangci-lint is not installed: skipped"; fi

clean:
	rm -rf bin internal/runners/bin/*.zst internal/runners/bin/*.sha256
