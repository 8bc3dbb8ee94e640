package pickle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func decode(s string) (any, error) {
	return Decode(strings.NewReader(s), Options{PersistentID: func(id any) (any, error) { return Tuple{"id", id}, nil }})
}

func dict(pairs ...any) *Dict {
	d := &Dict{}
	for i := 0; i < len(pairs); i += 2 {
		hashed, _ := (&hasher{pay: func(int) bool { return true }}).hash(pairs[i])
		d.set(pairs[i], hashed, pairs[i+1])
	}
	return d
}

func bigInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		panic(s)
	}
	return n
}

// TestValues has the instructions of all protocols, each with what Python makes of it.
func TestValues(t *testing.T) {
	thing := Global{"m", "C"}
	for pickle, want := range map[string]any{
		"N.":                 nil,
		"\x80\x02\x88.":      true,
		"I01\n.":             true,
		"I00\n.":             false,
		"I-7\n.":             int64(-7),
		"K\xff.":             int64(255),
		"M\x01\x02.":         int64(513),
		"J\xff\xff\xff\xff.": int64(-1),
		"L5L\n.":             int64(5),
		"\x8a\x00.":          int64(0),
		"\x8a\x01\xff.":      int64(-1),
		"\x8a\x02\x00\x80.":  int64(-32768),
		"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.": bigInt("0x10000000000000000"),
		"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xff.": bigInt("-0x10000000000000000"),
		"\x8b\x01\x00\x00\x00\x05.":                     int64(5),
		"L119547037146038801333356L\n.":                 bigInt("0x1950a86a20f9469cfc6c"),
		"F1.5\n.":                                       1.5,
		"G?\xf8\x00\x00\x00\x00\x00\x00.":               1.5,
		"S'a\\n\\x41\\''\n.":                            "a\nA'",
		"U\x02ab.":                                      "ab",
		"T\x02\x00\x00\x00ab.":                          "ab",
		"Va\\u00e9\xe9\\x41\n.":                         "aéé\\x41",
		"X\x02\x00\x00\x00ab.":                          "ab",
		"\x8c\x02ab.":                                   "ab",
		"\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab.":       "ab",
		"C\x02ab.":                                      []byte("ab"),
		"B\x02\x00\x00\x00ab.":                          []byte("ab"),
		"\x8e\x02\x00\x00\x00\x00\x00\x00\x00ab.":       []byte("ab"),
		"\x96\x02\x00\x00\x00\x00\x00\x00\x00ab.":       []byte("ab"),
		").":                       Tuple{},
		"(K\x01K\x02t.":            Tuple{int64(1), int64(2)},
		"K\x01\x85.":               Tuple{int64(1)},
		"K\x01K\x02\x86.":          Tuple{int64(1), int64(2)},
		"K\x01K\x02K\x03\x87.":     Tuple{int64(1), int64(2), int64(3)},
		"].":                       &List{},
		"](K\x01K\x02e.":           &List{Items: []any{int64(1), int64(2)}},
		"]K\x01a.":                 &List{Items: []any{int64(1)}},
		"(K\x01l.":                 &List{Items: []any{int64(1)}},
		"}.":                       &Dict{},
		"}K\x01K\x02s.":            dict(int64(1), int64(2)),
		"}(K\x01K\x02K\x01K\x03u.": dict(int64(1), int64(3)),
		"}(K\x01K\x02\x88K\x03u.":  dict(int64(1), int64(3)), // True == 1
		"(K\x01K\x02d.":            dict(int64(1), int64(2)),
		"\x8f(K\x01\x90.":          &Set{Items: []any{int64(1)}},
		"(K\x01\x91.":              &Set{Items: []any{int64(1)}},
		"K\x01q\x05h\x05\x86.":     Tuple{int64(1), int64(1)},
		"K\x01r\x05\x00\x00\x00j\x05\x00\x00\x00\x86.": Tuple{int64(1), int64(1)},
		"K\x01p7\ng7\n\x86.":                           Tuple{int64(1), int64(1)},
		"K\x01\x94K\x02\x94h\x00h\x01\x86.":            Tuple{int64(1), int64(2)},
		"K\x01K\x020.":                                 int64(1),
		"K\x01(K\x021.":                                int64(1),
		"K\x012\x86.":                                  Tuple{int64(1), int64(1)},
		"cm\nC\n.":                                     thing,
		"\x8c\x01m\x8c\x01C\x93.":                      thing,
		"\x82\x07.":                                    Global{"copyreg extension", "7"},
		"K\x07Q.":                                      Tuple{"id", int64(7)},
		"Pseven\n.":                                    Tuple{"id", "seven"},
		"cm\nC\nK\x01\x85R.":                           &Object{Class: thing, Args: Tuple{int64(1)}},
		"cm\nC\n)\x81.":                                &Object{Class: thing, Args: Tuple{}},
		"cm\nC\n)}\x8c\x01aK\x01s\x92.":                &Object{Class: thing, Args: Tuple{}, Kwargs: dict("a", int64(1))},
		"(K\x01im\nC\n.":                               &Object{Class: thing, Args: Tuple{int64(1)}},
		"(cm\nC\nK\x01o.":                              &Object{Class: thing, Args: Tuple{int64(1)}},
		"cm\nC\n)\x81}\x8c\x01aK\x01sb.":               &Object{Class: thing, Args: Tuple{}, State: dict("a", int64(1))},
		"cm\nC\n)\x81K\x01a.":                          &Object{Class: thing, Args: Tuple{}, Items: []any{int64(1)}},
		"cm\nC\n)\x81K\x01K\x02s.":                     &Object{Class: thing, Args: Tuple{}, Entries: dict(int64(1), int64(2))},
		"ccopy_reg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\nNtR.":                    &Object{Class: thing},
		"ccopy_reg\n_reconstructor\n(cm\nC\nc__builtin__\nint\nK\x03tR.":                   &Object{Class: thing, Args: Tuple{int64(3)}},
		"ccollections\nOrderedDict\n)R.":                                                   &Dict{},
		"ccollections\nOrderedDict\n]](K\x01K\x02ea\x85R.":                                 dict(int64(1), int64(2)),
		"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R.":                            &Dict{},
		"ccollections\nCounter\n}K\x01K\x02s\x85R.":                                        dict(int64(1), int64(2)),
		"ccollections\nOrderedDict\n)R}K\x01K\x02sb.":                                      &Dict{}, // its attributes are dropped
		"ctorch\nSize\n(K\x03K\x04t\x85R.":                                                 Tuple{int64(3), int64(4)},
		"cbuiltins\nset\n]K\x01a\x85R.":                                                    &Set{Items: []any{int64(1)}},
		"cbuiltins\nbytearray\nC\x01a\x85R.":                                               []byte("a"),
		"c__builtin__\nbytearray\nX\x02\x00\x00\x00\xc3\xa9X\x07\x00\x00\x00latin-1\x86R.": []byte{0xe9},
		"c_codecs\nencode\nX\x02\x00\x00\x00\xc3\xa9X\x06\x00\x00\x00latin1\x86R.":         []byte{0xe9},
		"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N.":                                   nil,
	} {
		got, err := decode(pickle)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %#v, %v; wanted %#v", pickle, got, err, want)
		}
	}
}

func TestBroken(t *testing.T) {
	for pickle, word := range map[string]string{
		"":                                       "cut short",
		"K":                                      "cut short",
		"K\x01":                                  "cut short",
		"X\xff\xff\xff\x7fab":                    "",
		"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f":   "value of",
		"\x8b\xff\xff\xff\xff":                   "value of",
		".":                                      "stack is empty",
		"(.":                                     "stack is empty",
		"t.":                                     "no mark",
		"\x85.":                                  "stack is empty",
		"(K\x01\x86.":                            "stack is empty",
		"h\x00.":                                 "memo entry 0",
		"gx\n.":                                  "memo entry",
		"g99999999999999999999\n.":               "memo entry",
		"K\x01p99999999999\n.":                   "memo entry",
		"\x80\x09N.":                             "protocol 9",
		"\xff.":                                  "unknown instruction",
		"\x97.":                                  "unknown instruction",
		"K\x01K\x02a.":                           "append to an int",
		"K\x01K\x02K\x03s.":                      "set an item of an int",
		"}]K\x01s.":                              "a list as a key",
		"}(K\x01u.":                              "without a value",
		"K\x01K\x02R.":                           "a call with an int",
		"K\x01K\x02\x93.":                        "a name that is",
		"(o.":                                    "a call of nothing",
		"cm\nC\n)N\x92.":                         "keywords that are None",
		"Ix\n.":                                  "number",
		"Sx\n.":                                  "without quotes",
		"L" + strings.Repeat("9", 6000) + "L\n.": "number",
		"c" + strings.Repeat("x", 1<<17):         "a line of more",
		strings.Repeat("(", 1<<15):               "nested more than",
	} {
		got, err := decode(pickle)
		if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), word) {
			t.Errorf("%.60q gives %v, %v; wanted %q", pickle, got, err, word)
		}
	}
	if _, err := Decode(strings.NewReader("NQ."), Options{}); err == nil {
		t.Error("a persistent id without a meaning is accepted")
	}
}

// TestNothingBehind: a pickle ends at its STOP, and what follows is for another.
func TestNothingBehind(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("K\x01.K\x02.rest"))
	for want := int64(1); want <= 2; want++ {
		if got, err := Decode(in, Options{}); err != nil || got != want {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "rest" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestKeys(t *testing.T) {
	o := &Object{Class: Global{"m", "C"}}
	keys := []any{nil, int64(1), "a", []byte("a"), 2.5, bigInt("0x10000000000000000"), bigInt("-0x10000000000000000"),
		Tuple{}, Tuple{"a"}, Tuple{Tuple{"a"}}, Tuple{[]byte("a")}, Tuple{"a", "b"}, Tuple{"ab"}, Tuple{o}, Tuple{nil}, Tuple{2.5}, Global{"a", "b"}, o}
	var pairs []any
	for i, k := range keys {
		pairs = append(pairs, k, int64(i))
	}
	d := dict(pairs...)
	if d.Len() != len(keys) {
		t.Fatalf("%d of %d keys", d.Len(), len(keys))
	}
	for i, k := range keys {
		if v, ok := d.Get(k); !ok || v != int64(i) {
			t.Errorf("%#v gives %v, %v", k, v, ok)
		}
	}
	for _, same := range []any{true, 1.0} {
		if v, ok := d.Get(same); !ok || v != int64(1) {
			t.Errorf("%v gives %v, %v", same, v, ok)
		}
	}
	for _, other := range []any{"b", &Object{}, Tuple{"b"}, &List{}, struct{}{}} {
		if v, ok := d.Get(other); ok {
			t.Errorf("%#v gives %v", other, v)
		}
	}
	if v, ok := (*Dict)(nil).Get("a"); ok || v != nil {
		t.Error("a nil dict has a key")
	}
}

func TestInt(t *testing.T) {
	for pickle, want := range map[string]int64{"K\x03.": 3, "cm\nStage\nK\x03\x85R.": 3, "cm\nStage\n(K\x03K\x04tR.": -1, "cm\nStage\n)R.": -1, "N.": -1} {
		v, err := decode(pickle)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := Int(v); ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d, %v", pickle, n, ok)
		}
	}
}

// hostile pickles, in the forms that do harm in Python: none of them may run anything,
// and each has to be a value or an error for little memory.
func hostile() map[string]string {
	doubling := "]q\x00"
	for i := range 200 {
		doubling += fmt.Sprintf("]q%c(h%ch%ceq%c", i+1, i, i, i+1)
	}
	tuples := "K\x01q\x00"
	for i := range 90 {
		tuples += fmt.Sprintf("h%ch%c\x86q%c", i, i, i+1)
	}
	long := "X\x00\x00\x10\x00" + strings.Repeat("x", 1<<20) + "q\x00"
	return map[string]string{
		"os.system":        "cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
		"posix.system":     "\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
		"eval":             "cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
		"exec by inst":     "(S'import os'\ni__builtin__\nexec\n.",
		"getattr chain":    "cbuiltins\ngetattr\n(cbuiltins\n__import__\nX\x02\x00\x00\x00os\x85RX\x06\x00\x00\x00systemtRX\x04\x00\x00\x00true\x85R.",
		"dotted name":      "\x80\x04\x8c\x08builtins\x8c\x10__class__.mro()\x00\x93)R.",
		"build state":      "cm\nC\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsbX\x04\x00\x00\x00trueb.",
		"extension":        "\x84\xff\xff\xff\x7f)R.",
		"lists doubled":    doubling + ".",
		"tuples doubled":   tuples + ".",
		"tuples as keys":   "}" + tuples + "K\x01s.",
		"a list in itself": "]q\x00h\x00a.",
		"a dict in itself": "}q\x00K\x01h\x00s.",
		"deep tuples":      "N" + strings.Repeat("\x85", 1<<20) + ".",
		"deep lists":       "]" + strings.Repeat("]2a", 1<<15) + ".",
		"deep marks":       strings.Repeat("(", 1<<20),
		"many dicts":       strings.Repeat("}", 1<<20) + ".",
		"many objects":     "cm\nC\nq\x00" + strings.Repeat("h\x00)R", 1<<18) + ".",
		"copies of text":   "(" + long + strings.Repeat("c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R", 1<<12) + "t.",
		"copies of lists":  "(](" + strings.Repeat("N", 1<<12) + "eq\x00" + strings.Repeat("ctorch\nSize\nh\x00\x85R", 1<<12) + "t.",
		"copies of dicts":  "(}(" + strings.Repeat("J\x01\x02\x03\x04N", 100) + "uq\x00" + strings.Repeat("ccollections\nCounter\nh\x00\x85R", 1<<12) + "t.",
		"one long key":     "}" + long + strings.Repeat("h\x00Ns", 1<<16) + ".",
		"huge string":      "\x8d\x00\x00\x00\x3f\x00\x00\x00\x00x",
		"huge long":        "\x8b\x00\x00\x00\x3fx",
		"huge memo":        "Nr\xff\xff\xff\xff.",
		"memo, scattered":  "N" + strings.Repeat("r\xff\xff\xff\x00r\xff\xff\x00\xff", 1<<15) + ".",
		"stack of dups":    "N" + strings.Repeat("2", 1<<20) + ".",
	}
}

// TestHostile bounds the memory that a pickle takes by a multiple of its bytes.
func TestHostile(t *testing.T) {
	for name, pickle := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decode(strings.NewReader(pickle), Options{})
			runtime.ReadMemStats(&after)
			if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("%T %v", err, err)
			}
			const base, factor = 64 << 20, 100
			if spent := after.TotalAlloc - before.TotalAlloc; spent > base+factor*uint64(len(pickle)) {
				t.Errorf("%d bytes of pickle took %d of memory", len(pickle), spent)
			}
		})
	}
}

// TestMaxMemory bounds the values whatever the length.
func TestMaxMemory(t *testing.T) {
	pickle := "(" + strings.Repeat("N", 1<<16) + "t."
	if _, err := Decode(strings.NewReader(pickle), Options{}); err != nil {
		t.Error(err)
	}
	_, err := Decode(strings.NewReader(pickle), Options{MaxMemory: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes of memory") {
		t.Error(err)
	}
}

// TestDenseObjects reads a table as torch's distributed checkpoints have it: objects of
// few bytes each, whose parts are memoized.
func TestDenseObjects(t *testing.T) {
	const chunks = 200_000
	var b strings.Builder
	b.WriteString("(cm\nC\nq\x00X\x01\x00\x00\x00aq\x01X\x01\x00\x00\x00bq\x02K\x07q\x030")
	memo := uint32(4)
	put := func() {
		b.WriteString("r" + string(binary.LittleEndian.AppendUint32(nil, memo)))
		memo++
	}
	for range chunks {
		b.WriteString("h\x00)\x81")
		put()
		b.WriteString("}")
		put()
		b.WriteString("(h\x01h\x03h\x03\x86")
		put()
		b.WriteString("h\x02h\x03h\x03\x86")
		put()
		b.WriteString("ub")
	}
	b.WriteString("t.")
	v, err := Decode(strings.NewReader(b.String()), Options{})
	if all, ok := v.(Tuple); err != nil || !ok || len(all) != chunks+3 {
		t.Errorf("%T, %v", v, err)
	}
}

// TestGrownDict fills a dict beyond the size at which it gets an index.
func TestGrownDict(t *testing.T) {
	text := "}"
	for round := range 2 {
		for i := range 20 {
			text += fmt.Sprintf("K%cK%cs", i, i+round)
		}
	}
	v, err := decode(text + ".")
	d, ok := v.(*Dict)
	if err != nil || !ok || d.Len() != 20 {
		t.Fatalf("%v, %v", v, err)
	}
	for i := range int64(20) {
		if got, ok := d.Get(i); !ok || got != i+1 {
			t.Errorf("%d: %v", i, got)
		}
	}
	if _, ok := d.Get(int64(20)); ok {
		t.Error("found what is not there")
	}
}

// TestCallsAreRecords: of a call that does harm there is nothing but its record.
func TestCallsAreRecords(t *testing.T) {
	v, err := decode(hostile()["os.system"])
	want := &Object{Class: Global{"os", "system"}, Args: Tuple{"true"}}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("%#v, %v", v, err)
	}
	v, err = decode(hostile()["getattr chain"])
	if o, ok := v.(*Object); err != nil || !ok || o.Class != unnamed {
		t.Errorf("%#v, %v", v, err)
	}
}

// TestCallbacks: what the callbacks say is what comes out.
func TestCallbacks(t *testing.T) {
	sick := errors.New("sick")
	o := Options{
		PersistentID: func(any) (any, error) { return nil, sick },
		Reduce: func(f Global, args Tuple) (any, bool, error) {
			switch f.Name {
			case "known":
				return args[0], true, nil
			case "bad":
				return nil, false, sick
			}
			return nil, false, nil
		},
	}
	if v, err := Decode(strings.NewReader("cm\nknown\nK\x01\x85R."), o); err != nil || v != int64(1) {
		t.Errorf("%v, %v", v, err)
	}
	for _, pickle := range []string{"cm\nbad\n)R.", "NQ."} {
		if _, err := Decode(strings.NewReader(pickle), o); !errors.Is(err, sick) {
			t.Errorf("%q: %v", pickle, err)
		}
	}
}

// FuzzDecode: whatever the bytes, a value or an *Error, for bounded memory.
func FuzzDecode(f *testing.F) {
	for _, pickle := range hostile() {
		if len(pickle) < 1<<12 {
			f.Add([]byte(pickle))
		}
	}
	f.Add([]byte("\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aK\x01u}X\x01\x00\x00\x00bNsb."))
	f.Add([]byte("\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8a\x01\xffK\x01u."))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := Decode(strings.NewReader(string(b)), Options{PersistentID: func(id any) (any, error) { return Tuple{id}, nil }})
		runtime.ReadMemStats(&after)
		if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
			t.Fatalf("%T %v", err, err)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<20+100*uint64(len(b)) {
			t.Fatalf("%d bytes took %d", len(b), spent)
		}
		if d, ok := v.(*Dict); ok {
			for k := range d.All() {
				d.Get(k)
			}
		}
	})
}
