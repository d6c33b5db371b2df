# The images of this project, for `docker buildx bake`. docs/releasing.md says
# how a release uses it.
#
#   docker buildx bake                 # all that is here, for this platform
#   docker buildx bake cli             # the command line, into bin/
#   docker buildx bake toolbox --set toolbox.output=type=oci,dest=toolbox.tar
#   VERSION=1.2.3 SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) docker buildx bake release --push
#
# Without any base image, from programs that `make image` has built:
#
#   docker buildx bake frontend --set frontend.contexts.binaries=bin/image

variable "REGISTRY" { default = "osbuildkit" }

# VERSION is that of a release, such as 1.2.3: its images are tagged 1.2.3, 1.2
# and 1. Without it nothing is tagged.
variable "VERSION" { default = "" }

# The base image. A release gives it by digest.
variable "GO_VERSION" { default = "1.26.8" }
variable "GO_IMAGE" { default = "docker-image://golang:${GO_VERSION}-bookworm" }

# The time of the images; a release gives that of its commit. It is always
# set, so that whoever builds again gets the same bytes.
variable "SOURCE_DATE_EPOCH" { default = "1577836800" }

# The mirror for the toolbox's packages, and their time; without both they are
# Debian's newest.
variable "OSBUILDKIT_MIRROR" { default = "" }
variable "OSBUILDKIT_SNAPSHOT" { default = "" }

function "tags" {
  params = [name]
  result = VERSION == "" ? [] : [
    "${REGISTRY}/${name}:${VERSION}",
    "${REGISTRY}/${name}:${join(".", slice(split(".", VERSION), 0, 2))}",
    "${REGISTRY}/${name}:${split(".", VERSION)[0]}",
  ]
}

group "default" { targets = ["frontend", "toolbox", "cli", "test"] }

group "release" { targets = ["frontend-release", "toolbox-release"] }

target "source" {
  contexts = { "golang:${GO_VERSION}-bookworm" = GO_IMAGE }
  args = {
    GO_VERSION        = GO_VERSION
    VERSION           = VERSION == "" ? "unreleased" : VERSION
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
}

# What "syntax" names.
target "frontend" {
  inherits = ["source"]
  target   = "frontend"
  tags     = tags("frontend")
}

# The default build root, built by the frontend of this source. Its release is
# for amd64 alone: packages of another platform need a builder of that platform.
target "toolbox" {
  dockerfile = "examples/toolbox.json"
  target     = "tree"
  contexts   = { "osbuildkit/frontend" = "target:frontend" }
  args = {
    BUILDKIT_SYNTAX     = "osbuildkit/frontend"
    OSBUILDKIT_MIRROR   = OSBUILDKIT_MIRROR == "" ? null : OSBUILDKIT_MIRROR
    OSBUILDKIT_SNAPSHOT = OSBUILDKIT_SNAPSHOT == "" ? null : OSBUILDKIT_SNAPSHOT
  }
  tags = tags("toolbox")
}

# The command line, as a file.
target "cli" {
  inherits = ["source"]
  target   = "cli"
  output   = ["type=local,dest=bin"]
}

# The tests that need neither root nor network.
target "test" {
  inherits = ["source"]
  target   = "test"
  output   = ["type=cacheonly"]
}

target "frontend-release" {
  inherits  = ["frontend"]
  platforms = ["linux/amd64", "linux/arm64"]
  output    = ["type=image,rewrite-timestamp=true"]
  attest    = ["type=provenance,mode=max"]
}

target "toolbox-release" {
  inherits  = ["toolbox"]
  platforms = ["linux/amd64"]
  output    = ["type=image,rewrite-timestamp=true"]
  attest    = ["type=provenance,mode=max", "type=sbom"]
}
