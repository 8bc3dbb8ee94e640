package peft

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/adapters.md")

const (
	docs       = "../../../docs/adapters.md"
	docsBegin  = "<!-- types: written by go test ./lazymerge/adapter/peft -update -->\n"
	docsEnd    = "<!-- /types -->\n"
	docsMerged = "| type | rounding | reads |\n| --- | --- | --- |\n"
)

// TestDocs holds the tables of docs/adapters.md against those of the code.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), docsBegin)
	_, after, closed := strings.Cut(rest, docsEnd)
	if !ok || !closed {
		t.Fatalf("%s lacks the marks between which the tables are", docs)
	}
	want := before + docsBegin + typeTables() + docsEnd + after
	if string(text) == want {
		return
	}
	if !*update {
		t.Fatalf("%s is stale: go test ./lazymerge/adapter/peft -update", docs)
	}
	if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// typeTables are the types that are merged and those that are not.
func typeTables() string {
	var merged, refused strings.Builder
	for _, x := range types {
		if x.method != nil {
			fmt.Fprintf(&merged, "| %s | %v | %s |\n", x.name, x.class, x.reads)
		} else {
			fmt.Fprintf(&refused, "| %s | %s |\n", x.name, x.reason)
		}
	}
	return docsMerged + merged.String() +
		"\nNot merged, and refused with these words:\n\n| type | reason |\n| --- | --- |\n" + refused.String()
}
