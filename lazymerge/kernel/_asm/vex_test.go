package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTileEncoding holds encodings against those of the GNU assembler.
func TestTileEncoding(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{ldtilecfg(memory{base: "CX"}), "c4 e2 78 49 01"},
		{ldtilecfg(memory{base: "BX"}), "c4 e2 78 49 03"},
		{ldtilecfg(memory{base: "SP", at: 8}), "c4 e2 78 49 44 24 08"},
		{ldtilecfg(memory{base: "BP"}), "c4 e2 78 49 45 00"},
		{ldtilecfg(memory{base: "R13", at: -1000}), "c4 c2 78 49 85 18 fc ff ff"},
		{tilerelease(), "c4 e2 78 49 c0"},
		{tilezero(0), "c4 e2 7b 49 c0"},
		{tilezero(5), "c4 e2 7b 49 e8"},
		{tileloadd(0, memory{base: "AX", index: "R8"}), "c4 a2 7b 4b 04 00"},
		{tileloadd(7, memory{base: "AX", index: "R8", at: 64}), "c4 a2 7b 4b 7c 00 40"},
		{tileloadd(6, memory{base: "R10", index: "CX"}), "c4 c2 7b 4b 34 0a"},
		{tileloadd(5, memory{base: "AX", index: "R8", at: 192}), "c4 a2 7b 4b ac 00 c0 00 00 00"},
		{tilestored(2, memory{base: "CX", index: "R8", at: 128}), "c4 a2 7a 4b 94 01 80 00 00 00"},
		{tdpbf16ps(0, 6, 7), "c4 e2 42 5c c6"},
		{tdpbf16ps(3, 4, 5), "c4 e2 52 5c dc"},
		{tdpbf16ps(1, 2, 3), "c4 e2 62 5c ca"},
	} {
		if got := fmt.Sprintf("% x", c.got); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestGNUAssembler gives all tiles, registers and kinds of displacements to the GNU
// assembler.
func TestGNUAssembler(t *testing.T) {
	for _, tool := range []string{"as", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			skipWithoutBinutils(t, err)
		}
	}
	var want bytes.Buffer
	var source strings.Builder
	add := func(code []byte, format string, args ...any) {
		want.Write(code)
		fmt.Fprintf(&source, format+"\n", args...)
	}
	add(tilerelease(), "tilerelease")
	for i := range 8 {
		add(tilezero(i), "tilezero %%tmm%d", i)
		for j := range 8 {
			for k := range 8 {
				if i != j && j != k && i != k {
					add(tdpbf16ps(i, j, k), "tdpbf16ps %%tmm%d, %%tmm%d, %%tmm%d", k, j, i)
				}
			}
		}
	}
	for b, base := range registers {
		for _, at := range []int{0, 1, 64, 127, 128, -128, -129, 1 << 20} {
			add(ldtilecfg(memory{at: at, base: base}), "ldtilecfg %d(%s)", at, gnu(base))
			for i, index := range registers {
				if index == "SP" {
					continue
				}
				m, tile := memory{at: at, base: base, index: index}, (b+i)%8
				add(tileloadd(tile, m), "tileloadd %d(%s,%s,1), %%tmm%d", at, gnu(base), gnu(index), tile)
				add(tilestored(tile, m), "tilestored %%tmm%d, %d(%s,%s,1)", tile, at, gnu(base), gnu(index))
			}
		}
	}
	got := assemble(t, source.String())
	if !bytes.Equal(got[:min(len(got), want.Len())], want.Bytes()) {
		t.Errorf("%d bytes that the assembler encodes in another way", want.Len())
	}
	if rest := got[want.Len():]; slices.ContainsFunc(rest, func(b byte) bool { return b != 0x90 && b != 0 }) {
		t.Errorf("%d bytes more from the assembler", len(rest))
	}
}

func gnu(register string) string {
	if register[0] == 'R' {
		return "%" + strings.ToLower(register)
	}
	return "%r" + strings.ToLower(register)
}

// assemble returns the bytes of a source.
func assemble(t *testing.T, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("s"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"as", "--64", "-o", path("o"), path("s")},
		{"objcopy", "-O", "binary", "-j", ".text", path("o"), path("text")},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%.2000s", command, err, out)
		}
	}
	text, err := os.ReadFile(path("text"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func skipWithoutBinutils(t *testing.T, reason error) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("LORAFS_TEST_REQUIRE"), ","), "binutils") {
		t.Fatalf("binutils is required: %v", reason)
	}
	t.Skipf("SKIPPED for lack of binutils: %v", reason)
}
