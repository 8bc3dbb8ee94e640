package main

import (
	"fmt"
	"strings"
)

// vectors prints functions over plain runs of values, 16 at a time, for AVX2, FMA and
// F16C; n is a multiple of 16. They are bound by memory, so wider registers would gain
// nothing. Those that round return how many values they have done: the next 16 hold a
// result that is not finite, and are untouched. Registers:
//
//	DI  results   SI  weights or values   DX  deltas   CX  values left
//	Y8 the factor Y9 to Y15 constants
type vectors struct{ *emitter }

// vectorFunction is one of them: its parameters in order, and what it does to 16.
type vectorFunction struct {
	name    string
	params  []parameter
	returns bool
	setup   func(v vectors)
	body    func(v vectors)
}

// parameter goes to a register; a float is broadcast to Y8.
type parameter struct {
	name, kind, register string
	step                 int // bytes that 16 values take
}

func (p parameter) size() int {
	if p.kind == "float32" {
		return 4
	}
	return 8
}

func generateVectors() (asm, stubs []byte) {
	text, decl := &emitter{}, &emitter{}
	text.WriteString(header + "#include \"textflag.h\"\n\n")
	decl.WriteString(header + "package kernel\n")
	v := vectors{text}
	v.data()
	for _, f := range vectorFunctions() {
		v.whole(f, decl)
	}
	v.product(decl)
	v.note(decl)
	return text.Bytes(), pretty(decl.Bytes())
}

func (v vectors) data() {
	for _, c := range []struct {
		name string
		word uint32
	}{{"one", 1}, {"bias", 0x7fff}, {"inf", 0xff000000}, {"infHalf", 0xf800f800}} {
		v.words("vector"+c.name, eight(c.word)...)
	}
}

// whole prints a function and its declaration.
func (v vectors) whole(f vectorFunction, decl *emitter) {
	name, signature, at := "vector"+f.name, "", 0
	var loads []string
	for i, p := range f.params {
		if i > 0 {
			signature += ", "
		}
		signature += p.name + " " + p.kind
		if p.kind == "float32" {
			loads = append(loads, fmt.Sprintf("VBROADCASTSS %s+%d(FP), Y8", p.name, at))
		} else {
			loads = append(loads, fmt.Sprintf("MOVQ %s+%d(FP), %s", p.name, at, p.register))
		}
		at += p.size()
	}
	frame := at
	at = (at + 7) &^ 7
	result := ""
	if f.returns {
		result, frame = " int", at+8
	}
	fmt.Fprintf(decl, "\n//go:noescape\nfunc %s(%s)%s\n", name, signature, result)
	fmt.Fprintf(v, "// func %s(%s)%s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, signature, result, name, frame)
	for _, l := range loads {
		v.op("%s", l)
	}
	if f.setup != nil {
		f.setup(v)
	}
	v.op("TESTQ CX, CX")
	v.op("JZ done")
	v.label("loop")
	f.body(v)
	for _, p := range f.params {
		if p.step > 0 {
			v.op("ADDQ $%d, %s", p.step, p.register)
		}
	}
	v.op("SUBQ $16, CX")
	v.op("JNZ loop")
	v.label("done")
	if f.returns {
		v.op("MOVQ n+%d(FP), AX", offsetOf(f, "n"))
		v.op("SUBQ CX, AX")
		v.op("MOVQ AX, ret+%d(FP)", at)
	}
	v.op("VZEROUPPER")
	v.op("RET")
	v.WriteString("\n")
}

func offsetOf(f vectorFunction, name string) int {
	at := 0
	for _, p := range f.params {
		if p.name == name {
			return at
		}
		at += p.size()
	}
	panic("no parameter " + name)
}

// widths are the kinds of stored elements.
var widths = []struct {
	name string
	size int
}{{"BF16", 2}, {"F16", 2}, {"F32", 4}}

func vectorFunctions() []vectorFunction {
	n := parameter{name: "n", kind: "int", register: "CX"}
	by := parameter{name: "by", kind: "float32"}
	values := func(name, register string) parameter {
		return parameter{name, "*float32", register, 64}
	}
	var all []vectorFunction
	for _, w := range widths {
		stored := func(name, register string) parameter {
			return parameter{name, "*byte", register, 16 * w.size}
		}
		all = append(all, vectorFunction{
			name:   "Load" + w.name,
			params: []parameter{values("dst", "DI"), stored("src", "SI"), n},
			setup:  func(v vectors) {},
			body: func(v vectors) {
				v.load(w.name, "SI")
				v.op("VMOVUPS Y0, (DI)")
				v.op("VMOVUPS Y1, 32(DI)")
			},
		}, vectorFunction{
			name:    "Store" + w.name,
			params:  []parameter{stored("dst", "DI"), values("src", "SI"), n, by},
			returns: true,
			setup:   func(v vectors) { v.constants(w.name) },
			body: func(v vectors) {
				v.op("VMULPS (SI), Y8, Y0")
				v.op("VMULPS 32(SI), Y8, Y1")
				v.store(w.name)
			},
		}, vectorFunction{
			name:    "Add" + w.name,
			params:  []parameter{stored("dst", "DI"), stored("src", "SI"), values("delta", "DX"), n, by},
			returns: true,
			setup:   func(v vectors) { v.constants(w.name) },
			body: func(v vectors) {
				v.load(w.name, "SI")
				v.op("VMULPS (DX), Y8, Y2")
				v.op("VMULPS 32(DX), Y8, Y3")
				v.op("VADDPS Y2, Y0, Y0")
				v.op("VADDPS Y3, Y1, Y1")
				v.store(w.name)
			},
		})
	}
	return append(all, vectorFunction{
		name:   "Mul",
		params: []parameter{values("dst", "DI"), values("by", "SI"), n},
		body: func(v vectors) {
			v.op("VMOVUPS (DI), Y0")
			v.op("VMOVUPS 32(DI), Y1")
			v.op("VMULPS (SI), Y0, Y0")
			v.op("VMULPS 32(SI), Y1, Y1")
			v.op("VMOVUPS Y0, (DI)")
			v.op("VMOVUPS Y1, 32(DI)")
		},
	}, vectorFunction{
		name:   "Squares",
		params: []parameter{{"sums", "*float64", "DI", 0}, values("src", "SI"), n},
		body: func(v vectors) {
			for i := range 4 {
				v.op("VCVTPS2PD %d(SI), Y%d", 16*i, i)
				v.op("VMOVUPD %d(DI), Y%d", 32*i, 4+i)
				v.op("VFMADD231PD Y%d, Y%d, Y%d", i, i, 4+i)
				v.op("VMOVUPD Y%d, %d(DI)", 4+i, 32*i)
			}
		},
	}, vectorFunction{
		name:    "Finite",
		params:  []parameter{values("src", "SI"), n},
		returns: true,
		setup:   func(v vectors) { v.op("VMOVDQU vectorinf<>(SB), Y12") },
		body: func(v vectors) {
			v.op("VMOVUPS (SI), Y0")
			v.op("VMOVUPS 32(SI), Y1")
			v.finite("D", "Y0", "Y1", "Y12")
		},
	})
}

// constants loads what store needs.
func (v vectors) constants(width string) {
	switch width {
	case "BF16":
		v.op("VMOVDQU vectorone<>(SB), Y9")
		v.op("VMOVDQU vectorbias<>(SB), Y10")
		v.op("VMOVDQU vectorinf<>(SB), Y12")
	case "F16":
		v.op("VMOVDQU vectorinfHalf<>(SB), Y12")
	default:
		v.op("VMOVDQU vectorinf<>(SB), Y12")
	}
}

// load widens 16 elements at a register to Y0 and Y1.
func (v vectors) load(width, from string) {
	for i := range 2 {
		switch width {
		case "BF16":
			v.op("VPMOVZXWD %d(%s), Y%d", 16*i, from, i)
			v.op("VPSLLD $16, Y%d, Y%d", i, i)
		case "F16":
			v.op("VCVTPH2PS %d(%s), Y%d", 16*i, from, i)
		default:
			v.op("VMOVUPS %d(%s), Y%d", 32*i, from, i)
		}
	}
}

// store rounds Y0 and Y1 to 16 elements, unless one is not finite.
func (v vectors) store(width string) {
	switch width {
	case "BF16":
		v.finite("D", "Y0", "Y1", "Y12") // rounding turns some NaNs into zeros
		for _, r := range []string{"Y0", "Y1"} {
			v.op("VPSRLD $16, %s, Y4", r)
			v.op("VPAND Y9, Y4, Y4")
			v.op("VPADDD Y10, %s, %s", r, r)
			v.op("VPADDD Y4, %s, %s", r, r)
		}
		v.finite("D", "Y0", "Y1", "Y12")
		v.op("VPSRLD $16, Y0, Y0")
		v.op("VPSRLD $16, Y1, Y1")
		v.op("VPACKUSDW Y1, Y0, Y0")
		v.op("VPERMQ $0xd8, Y0, Y0")
		v.op("VMOVDQU Y0, (DI)")
	case "F16":
		v.op("VCVTPS2PH $0, Y0, X0")
		v.op("VCVTPS2PH $0, Y1, X1")
		v.op("VINSERTI128 $1, X1, Y0, Y0")
		v.finite("W", "Y0", "Y0", "Y12")
		v.op("VMOVDQU Y0, (DI)")
	default:
		v.finite("D", "Y0", "Y1", "Y12")
		v.op("VMOVUPS Y0, (DI)")
		v.op("VMOVUPS Y1, 32(DI)")
	}
}

// finite ends the loop when a value in a or b is not finite.
func (v vectors) finite(size, a, b, inf string) {
	v.op("VPADD%s %s, %s, Y4", size, a, a)
	v.op("VPADD%s %s, %s, Y5", size, b, b)
	v.op("VPMAXU%s Y4, Y5, Y5", size)
	v.op("VPMAXU%s %s, Y5, Y6", size, inf)
	v.op("VPCMPEQ%s Y5, Y6, Y6", size)
	v.op("VPTEST Y6, Y6")
	v.op("JNZ done")
}

// product prints what multiplies a row of inner values with the first n columns of a
// matrix whose rows are stride values long, 32 columns at a time and then 16. Products
// are rounded before they are added, which any processor can do.
func (v vectors) product(decl *emitter) {
	const signature = "func vectorProduct(dst, left, right *float32, inner, n, stride int)"
	fmt.Fprintf(decl, "\n//go:noescape\n%s\n", signature)
	fmt.Fprintf(v, "// %s\nTEXT ·vectorProduct(SB), NOSPLIT, $0-48\n", signature)
	for i, p := range []string{"dst DI", "left SI", "right DX", "inner BX", "n CX", "stride R10"} {
		name, register, _ := strings.Cut(p, " ")
		v.op("MOVQ %s+%d(FP), %s", name, 8*i, register)
	}
	v.op("SHLQ $2, R10")
	for _, wide := range []int{4, 2} {
		v.label(fmt.Sprintf("columns%d", wide))
		v.op("CMPQ CX, $%d", 8*wide)
		v.op("JLT less%d", wide)
		for i := range wide {
			v.op("VXORPS Y%d, Y%d, Y%d", i, i, i)
		}
		v.op("MOVQ SI, R8")
		v.op("MOVQ DX, R9")
		v.op("MOVQ BX, AX")
		v.label(fmt.Sprintf("inner%d", wide))
		v.op("VBROADCASTSS (R8), Y8")
		for i := range wide {
			v.op("VMULPS %d(R9), Y8, Y%d", 32*i, 4+i)
			v.op("VADDPS Y%d, Y%d, Y%d", 4+i, i, i)
		}
		v.op("ADDQ $4, R8")
		v.op("ADDQ R10, R9")
		v.op("DECQ AX")
		v.op("JNZ inner%d", wide)
		for i := range wide {
			v.op("VMOVUPS Y%d, %d(DI)", i, 32*i)
		}
		v.op("ADDQ $%d, DI", 32*wide)
		v.op("ADDQ $%d, DX", 32*wide)
		v.op("SUBQ $%d, CX", 8*wide)
		v.op("JMP columns%d", wide)
		v.label(fmt.Sprintf("less%d", wide))
	}
	v.op("VZEROUPPER")
	v.op("RET")
	v.WriteString("\n")
}

// note prints what notes the values of a row: see note in package kernel, whose fields
// are the or of their bits, and the least and the greatest of their magnitudes.
func (v vectors) note(decl *emitter) {
	const signature = "func vectorNote(to *note, src *float32, n int)"
	fmt.Fprintf(decl, "\n//go:noescape\n%s\n", signature)
	fmt.Fprintf(v, "// %s\nTEXT ·vectorNote(SB), NOSPLIT, $0-24\n", signature)
	v.op("MOVQ to+0(FP), DI")
	v.op("MOVQ src+8(FP), SI")
	v.op("MOVQ n+16(FP), CX")
	v.op("VPCMPEQD Y7, Y7, Y7") // -1
	v.op("VPXOR Y0, Y0, Y0")
	v.op("VMOVDQA Y7, Y1")
	v.op("VPXOR Y2, Y2, Y2")
	v.label("loop")
	for i := range 2 {
		v.op("VMOVDQU %d(SI), Y3", 32*i)
		v.op("VPOR Y3, Y0, Y0")
		v.op("VPADDD Y3, Y3, Y3")
		v.op("VPMAXUD Y3, Y2, Y2")
		v.op("VPADDD Y7, Y3, Y3")
		v.op("VPMINUD Y3, Y1, Y1")
	}
	v.op("ADDQ $64, SI")
	v.op("SUBQ $16, CX")
	v.op("JNZ loop")
	for i, join := range []string{"VPOR", "VPMINUD", "VPMAXUD"} {
		v.op("VEXTRACTI128 $1, Y%d, X3", i)
		v.op("%s X3, X%d, X%d", join, i, i)
		for _, order := range []int{0x4e, 0xb1} {
			v.op("VPSHUFD $%#x, X%d, X3", order, i)
			v.op("%s X3, X%d, X%d", join, i, i)
		}
		v.op("VMOVD %d(DI), X3", 4*i)
		v.op("%s X3, X%d, X%d", join, i, i)
		v.op("VMOVD X%d, %d(DI)", i, 4*i)
	}
	v.op("VZEROUPPER")
	v.op("RET")
	v.WriteString("\n")
}
