package modeldir

import (
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// InvalidSuffix is what the name of a broken adapter's diagnosis ends in.
const InvalidSuffix = ".INVALID"

// maxName leaves room for InvalidSuffix in the 255 bytes of a file name.
const maxName = 255 - len(InvalidSuffix)

// checkName says why a name cannot stand in the tree.
func checkName(ref, name string) error {
	reason := ""
	switch {
	case name == "":
		reason = "is empty"
	case strings.Contains(name, "/"):
		reason = "contains a slash"
	case strings.HasPrefix(name, "."):
		reason = "begins with a dot"
	case strings.HasSuffix(name, InvalidSuffix):
		reason = "ends in " + InvalidSuffix + ", which marks broken adapters"
	case len(name) > maxName:
		reason = "is too long"
	case strings.ContainsFunc(name, unicode.IsControl):
		reason = "contains a control character"
	default:
		return nil
	}
	return &NameError{Ref: ref, Name: name, Reason: reason}
}

// treeName is the name of what a reference was found at: the id of a cached
// repository, else the last element of the path as it was written.
func treeName(ref, host string) string {
	if expandHome(ref) != host {
		return cachedName(ref)
	}
	abs, err := filepath.Abs(host)
	if err != nil {
		abs = host
	}
	return filepath.Base(abs)
}

// sortUnique brings adapters in the order of their names, which must differ.
func sortUnique(adapters []Adapter) error {
	sort.SliceStable(adapters, func(i, j int) bool { return adapters[i].Name < adapters[j].Name })
	for i := 1; i < len(adapters); i++ {
		if a, b := adapters[i-1], adapters[i]; a.Name == b.Name {
			return &NameCollisionError{Name: a.Name, Refs: [2]string{a.Ref, b.Ref}}
		}
	}
	return nil
}

func sorted(names map[string]bool) []string { return slices.Sorted(maps.Keys(names)) }
