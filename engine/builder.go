package engine

import "os"

// CheckBuilder reports what is wrong with the value of Options.Builder, or with
// BUILDKIT_HOST where it is empty, by its form alone. Nothing is asked.
func CheckBuilder(builder string) error {
	_, err := KindOf(builder)
	return err
}

// KindOf says which provider Options.Builder asks for, or BUILDKIT_HOST where it
// is empty. Nothing is asked.
func KindOf(builder string) (Kind, error) {
	ch, err := choose(builder, os.Getenv("BUILDKIT_HOST"), HasEmbedded)
	return ch.kind, err
}

// Describe names the provider that KindOf tells, for a message.
func Describe(builder string) string {
	ch, err := choose(builder, os.Getenv("BUILDKIT_HOST"), HasEmbedded)
	if err != nil {
		return "builder " + builder
	}
	return ch.String()
}
