package engine

import "os"

// CheckBuilder reports what is wrong with the value of Options.Builder, or with
// BUILDKIT_HOST where it is empty, by its form alone. Nothing is asked.
func CheckBuilder(builder string) error {
	_, err := choose(builder, os.Getenv("BUILDKIT_HOST"))
	return err
}
