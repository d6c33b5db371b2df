package catalog

// ExampleFiles are the examples as files.
var ExampleFiles = examples
