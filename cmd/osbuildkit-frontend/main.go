// osbuildkit-frontend is the entry point of the frontend image: BuildKit starts
// it and talks to it over standard input and output.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/moby/buildkit/client/llb"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/osbuildkit/osbuildkit/frontend"
)

func main() {
	// Standard output belongs to the protocol. What libraries log is of no use
	// to the person who builds.
	logrus.SetOutput(io.Discard)
	err := grpcclient.RunFromEnvironment(appcontext.Context(), frontend.BuildFunc(frontend.Config{Runner: runner, ContextLibdir: true, Flatten: true}))
	if err != nil {
		if os.Getenv("BUILDKIT_SESSION_ID") == "" {
			err = errors.New("this program is started by BuildKit, as the frontend that a manifest's \"syntax\" names; people use osbuildkit")
		}
		fmt.Fprintln(os.Stderr, "osbuildkit-frontend:", err)
		os.Exit(1)
	}
}

// runner returns the image that this program was started from: it holds the
// runners beside it. An image is made for one platform, which is the builder's.
func runner(_ context.Context, c gwclient.Client, _ ocispecs.Platform) (llb.State, error) {
	self, ok := c.(interface{ CurrentFrontend() (*llb.State, error) })
	if !ok {
		return llb.State{}, errors.New("the gateway does not tell the frontend's own image")
	}
	st, err := self.CurrentFrontend()
	if err != nil {
		return llb.State{}, fmt.Errorf("the frontend's own image: %w", err)
	}
	if st == nil {
		return llb.State{}, errors.New("this BuildKit does not tell the frontend's own image: version 0.13 or newer is needed")
	}
	return *st, nil
}
