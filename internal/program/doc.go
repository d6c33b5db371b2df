// Package program runs a module of the user inside a step.
//
// It is the whole of the runner of the group "programs". In a step it is
// started as
//
//	osbuildkit-runner program FILE --step /run/osbuild/step.json
//
// and starts FILE with the same clean environment as a built-in module, the
// contract ({"tree": …, "options": {…}}, for assemblers "output_dir" too) on
// standard input, and both outputs in one log. The exit code of the program is
// that of the step. Around it the program finds what osbuild's own modules look
// for: the arguments in a file, a file for metadata, and sockets that speak
// osbuild's protocol of JSON messages with descriptors.
//
// Where a program cannot be started at all, the system's own words ("no such
// file or directory") are mostly about something else than the file that they
// name, so this package looks and says what is missing.
package program
