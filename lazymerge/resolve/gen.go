package resolve

// The tables come from the transformers release named in their first line, and so
// do the names that the tests compare with.
//go:generate sh gen/run.sh
