package assemblers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osbuildkit/osbuildkit/module"
)

// checkWith decodes options and reports what check finds in them.
func checkWith[T any](options json.RawMessage, check func(*T) []module.Problem) []module.Problem {
	o := new(T)
	if err := (&module.Input{Options: options}).DecodeOptions(o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	return check(o)
}

// checkSized is checkWith for options with an ImageSize.
func checkSized[T any](options json.RawMessage, check func(*T) []module.Problem) []module.Problem {
	var size *sizeError
	if err := json.Unmarshal(options, new(T)); errors.As(err, &size) {
		return optionsProblem(err)
	}
	return checkWith(options, check)
}

// optionsProblem is what is wrong with options that cannot be read: with the size, if
// that is what cannot be.
func optionsProblem(err error) []module.Problem {
	var size *sizeError
	if errors.As(err, &size) {
		return []module.Problem{{Pointer: "/size", Message: size.Error()}}
	}
	return []module.Problem{{Message: err.Error()}}
}

// problemsError returns an error that holds all problems, nil without any.
func problemsError(problems []module.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("option %s: %s", p.Pointer, p.Message))
	}
	return errors.Join(errs...)
}

// writeOutput makes one file and the list of checksums in the output
// directory. The file has another name until it is complete, and write, which
// also gets a directory for what it needs meanwhile, leaves nothing if it
// fails.
func writeOutput(ctx context.Context, in *module.Input, filename string, write func(f *os.File, scratch string) error) (err error) {
	if in.OutputDir == "" {
		return errors.New("the contract names no \"output_dir\", which an assembler writes to")
	}
	scratch, err := os.MkdirTemp(in.OutputDir, scratchPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	name := filepath.Join(scratch, "file")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = write(f, scratch)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filename, err)
	}
	if err := os.Rename(name, filepath.Join(in.OutputDir, filename)); err != nil {
		return err
	}
	return writeSums(ctx, in.OutputDir, []string{filename})
}
