# The images of this project, for `docker buildx bake`. docs/releasing.md says
# how a release uses it.
#
#   docker buildx bake                            # the frontend, into the builder's cache
#   docker buildx bake cli                        # the command line, into bin/linux-…
#   docker buildx bake toolbox --set toolbox.output=type=oci,dest=toolbox.tar
#   VERSION=1.2.3 docker buildx bake release --push

variable "REGISTRY" { default = "docker.io/osbuildkit" }

# VERSION is that of a release, such as 1.2.3. Its images are tagged 1.2.3, 1.2 and 1.
variable "VERSION" { default = "" }

# A release gives the time of its commit, so that whoever builds it again gets
# the same bytes.
variable "SOURCE_DATE_EPOCH" { default = "0" }

# The mirror for the toolbox's packages; without it they come from snapshot.debian.org.
variable "OSBUILDKIT_MIRROR" { default = "" }

function "tags" {
  params = [name]
  result = VERSION == "" ? [] : [
    "${REGISTRY}/${name}:${VERSION}",
    "${REGISTRY}/${name}:${join(".", slice(split(".", VERSION), 0, 2))}",
    "${REGISTRY}/${name}:${split(".", VERSION)[0]}",
  ]
}

group "default" { targets = ["frontend"] }

group "release" { targets = ["frontend-release", "toolbox-release"] }

target "source" {
  args = {
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

# The default build root, built by the frontend of this source.
target "toolbox" {
  dockerfile = "examples/toolbox.json"
  target     = "tree"
  contexts   = { "osbuildkit/frontend" = "target:frontend" }
  args = {
    BUILDKIT_SYNTAX   = "osbuildkit/frontend"
    OSBUILDKIT_MIRROR = OSBUILDKIT_MIRROR == "" ? null : OSBUILDKIT_MIRROR
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH == "0" ? null : SOURCE_DATE_EPOCH
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
