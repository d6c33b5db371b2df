# The images of this project. Build them with docker-bake.hcl:
#
#   docker buildx bake frontend
#
# No base image is needed where the binaries are there already:
#
#   make image && docker buildx build --target frontend --build-context binaries=bin/image -o type=oci,dest=frontend.tar .
#
# The one base image, golang, is replaced by a named context of its name; a
# release gives it by digest (docs/releasing.md).

ARG GO_VERSION=1.26.8

# source holds the modules and the source. What is built from it is the same
# on every platform that builds and in every directory.
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm AS source
WORKDIR /src
ARG GOPROXY
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .

FROM source AS binaries
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make image IMAGE=/ ARCHES=$TARGETARCH

FROM source AS programs
ARG TARGETARCH
ARG VERSION=unreleased
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make bin/osbuildkit GOARCH=$TARGETARCH VERSION=$VERSION && mkdir /out && cp bin/osbuildkit /out/

# test runs what needs neither root nor network.
FROM source AS test
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make build && go vet ./... && go test ./...

# cli is the command line as a file: -o bin.
FROM scratch AS cli
COPY --from=programs /out/ /

# frontend is what "syntax" names: the gateway program and the runners, which
# it hands to the steps.
FROM scratch AS frontend
ARG TARGETARCH
COPY --from=binaries --chmod=0755 /linux-$TARGETARCH/osbuildkit-frontend /linux-$TARGETARCH/osbuildkit-runner-* /
ARG VERSION=unreleased
LABEL moby.buildkit.frontend.network.none="true" \
      moby.buildkit.frontend.caps="moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring" \
      org.opencontainers.image.title="osbuildkit frontend" \
      org.opencontainers.image.source="https://github.com/osbuildkit/osbuildkit" \
      org.opencontainers.image.version="$VERSION"
ENTRYPOINT ["/osbuildkit-frontend"]
