package single

import "fmt"

// MetadataError says that the settings in a file's header cannot be honoured.
type MetadataError struct {
	File   string
	Field  string // "unet.rank_pattern", "" when the whole is broken
	Reason string
	Err    error // what the JSON reader said, when it was that
}

func (e *MetadataError) Error() string {
	s := fmt.Sprintf("%q: metadata %s: %s", e.File, metadataName, e.Reason)
	if e.Field != "" {
		s = fmt.Sprintf("%q: metadata %s: %s: %s", e.File, metadataName, e.Field, e.Reason)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *MetadataError) Unwrap() error { return e.Err }

// ValueError says that a tensor does not hold what its name promises.
type ValueError struct {
	File, Tensor string
	Reason       string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("%q: %q cannot be used: %s", e.File, e.Tensor, e.Reason)
}
