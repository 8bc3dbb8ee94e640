// Command _asm prints the assembly of package kernel: one file for each instruction
// set. Every function adds a product to the rows of a run of tiles; call.go in package
// kernel describes what it reads.
//
//	go run . -out ..
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "..", "directory of package kernel")
	flag.Parse()
	for _, s := range []set{avx512bf16{}, avx512{}, avx2{}, neon{}} {
		asm, stubs := generate(s)
		write(filepath.Join(*out, s.name()+"_"+s.arch()+".s"), asm)
		write(filepath.Join(*out, s.name()+"_"+s.arch()+".go"), stubs)
	}
	vectorAsm, vectorStubs := generateVectors()
	write(filepath.Join(*out, "vector_amd64.s"), vectorAsm)
	write(filepath.Join(*out, "vector_amd64.go"), vectorStubs)
	write(filepath.Join(*out, "offsets_test.go"), printOffsets("(amd64 || arm64) && !purego", "offsets", "call", offsets))
	asm, stubs := generateAMX()
	write(filepath.Join(*out, "amx_amd64.s"), asm)
	write(filepath.Join(*out, "amx_amd64.go"), stubs)
	write(filepath.Join(*out, "amx_offsets_amd64_test.go"), printOffsets("!purego", "tilesOffsets", "tiles", tilesOffsets))
	write(filepath.Join(*out, "amx_strip_offsets_amd64_test.go"), printOffsets("!purego", "stripOffsets", "strip", stripOffsets))
}

func write(path string, text []byte) {
	if err := os.WriteFile(path, text, 0o644); err != nil {
		log.Fatal(err)
	}
}
