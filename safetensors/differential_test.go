package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// reference is the Rust library behind its Python binding, one process for a
// whole test.
type reference struct {
	in  *bufio.Writer
	out *bufio.Reader
}

// judgement is a line of testdata/verdict.py.
type judgement struct {
	Version string
	Error   string
	Tensors map[string][3]json.RawMessage
}

// startReference skips, loudly, where LORAFS_PYTHON names no interpreter, and
// fails instead where LORAFS_TEST_REQUIRE lists peft.
func startReference(t *testing.T) *reference {
	t.Helper()
	python, err := exec.LookPath(os.Getenv("LORAFS_PYTHON"))
	if err != nil {
		message := "LORAFS_PYTHON names no Python with safetensors: the Rust library is NOT compared with"
		if slices.Contains(strings.Split(os.Getenv("LORAFS_TEST_REQUIRE"), ","), "peft") {
			t.Fatal(message)
		}
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
		t.Skip(message)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/verdict.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	r := &reference{bufio.NewWriter(in), bufio.NewReader(out)}
	if v := r.read(t).Version; !strings.HasPrefix(v, "0.8.") {
		t.Fatalf("safetensors is %q, want 0.8", v)
	}
	return r
}

func (r *reference) read(t *testing.T) (j judgement) {
	t.Helper()
	line, err := r.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the Python process ended: %v", err)
	}
	if err := json.Unmarshal(line, &j); err != nil {
		t.Fatal(err)
	}
	return j
}

func (r *reference) judge(t *testing.T, data []byte) judgement {
	t.Helper()
	r.in.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(data))))
	r.in.Write(data)
	if err := r.in.Flush(); err != nil {
		t.Fatal(err)
	}
	return r.read(t)
}

// says reports whether j is the refusal of kind k.
func (j judgement) says(k Kind) bool {
	_, text, _ := strings.Cut(j.Error, "Error while deserializing: ")
	before, after, _ := strings.Cut(kinds[k].sentence, "%s")
	return j.Error != "" && strings.HasPrefix(text, before) && strings.Contains(text, after)
}

// compare fails where the two readers differ in more than a deviation.
func (r *reference) compare(t *testing.T, data []byte) (accepted bool) {
	t.Helper()
	h, err := ReadHeader(bytes.NewReader(data), int64(len(data)))
	j := r.judge(t, data)
	e := (*Error)(nil)
	switch {
	case err == nil && j.Error == "":
		compareTensors(t, h, j, data)
		return true
	case err == nil:
		t.Errorf("accepted, reference says %s\n%q", j.Error, data)
	case !errors.As(err, &e):
		t.Fatalf("error %v is no *Error", err)
	case isDeviation(e):
	case j.Error == "":
		t.Errorf("%v, reference accepts\n%q", err, data)
	case !j.says(e.Kind) && !ambiguous(e.Kind, data):
		t.Errorf("%v, reference says %s\n%q", err, j.Error, data)
	}
	return false
}

func isDeviation(e *Error) bool {
	return e.Kind == InvalidHeaderDeserialization && strings.HasPrefix(e.Detail, "duplicate key") ||
		e.Kind == ValidationOverflow && e.Detail == "dimension of 2^63 or more"
}

// ambiguous reports whether a well-formed header has two tensors at the same
// offsets, which the reference takes in the order of a hash map, reporting
// whichever fault comes first, or two of one name, of which it drops one before
// it looks.
func ambiguous(k Kind, data []byte) bool {
	if !slices.Contains([]Kind{InvalidOffset, TensorInvalidInfo, ValidationOverflow, MisalignedSlice}, k) {
		return false
	}
	n := binary.LittleEndian.Uint64(data)
	d, err := decodeHeader(data[lengthBytes : lengthBytes+n])
	seen := map[any]bool{}
	for _, s := range d.spans {
		place := [2]uint64{s.begin, s.end}
		if seen[place] || seen[s.Name] {
			return err == nil
		}
		seen[place], seen[s.Name] = true, true
	}
	return false
}

func compareTensors(t *testing.T, h *Header, j judgement, data []byte) {
	t.Helper()
	if len(h.Entries) != len(j.Tensors) {
		t.Errorf("%d tensors, reference has %d\n%q", len(h.Entries), len(j.Tensors), data)
	}
	for _, e := range h.Entries {
		shape, _ := json.Marshal(e.Shape)
		want := fmt.Sprintf("[%q %s %d]", e.DType, shape, e.End-e.Begin)
		if got := strings.ReplaceAll(fmt.Sprintf("%s", j.Tensors[e.Name]), ", ", ","); got != want {
			t.Errorf("tensor %q is %s, reference says %s\n%q", e.Name, want, got, data)
		}
	}
}

func TestDifferentialKit(t *testing.T) {
	r := startReference(t)
	for _, v := range readKit(t) {
		want := v.reference
		if want == "" {
			want = v.expect
		}
		got := "something else"
		j := r.judge(t, v.data)
		if j.Error == "" {
			got = "ok"
		}
		for k := InvalidHeader; int(k) < len(kinds); k++ {
			if j.says(k) {
				got = k.String()
			}
		}
		if got != want {
			t.Errorf("%s: reference says %s (%s), vector says %s", v.name, got, j.Error, want)
		}
		r.compare(t, v.data)
	}
}

func TestDifferentialMutations(t *testing.T) {
	r := startReference(t)
	cases := 20_000
	if testing.Short() {
		cases = 2_000
	}
	m := newMutator(t)
	accepted := 0
	for range cases {
		if r.compare(t, m.next()) {
			accepted++
		}
		if t.Failed() {
			return
		}
	}
	if accepted < cases/50 || accepted > cases*49/50 {
		t.Errorf("%d of %d mutations accepted: they test one verdict only", accepted, cases)
	}
}

// mutator changes headers of the kit, most of the time into something that is
// still nearly right.
type mutator struct {
	rand      *rand.Rand
	good, all [][2][]byte // header text and data; good is what the kit accepts
}

func newMutator(t *testing.T) *mutator {
	m := &mutator{rand: rand.New(rand.NewPCG(1, 2))}
	for _, v := range readKit(t) {
		if len(v.data) < lengthBytes {
			continue
		}
		n := binary.LittleEndian.Uint64(v.data)
		if rest := v.data[lengthBytes:]; n <= uint64(len(rest)) {
			seed := [2][]byte{rest[:n], rest[n:]}
			m.all = append(m.all, seed)
			if v.expect == "ok" {
				m.good = append(m.good, seed)
			}
		}
	}
	return m
}

// tokens are what headers are made of, and what they should not be made of.
var tokens = []string{
	"{", "}", "[", "]", ",", ":", `"`, " ", "\n", "\t", "\r", "\f", "\v", "\x00", "\x1f", "\x7f", "\u00a0", "\ufeff", "\xff", "\xc3", "\xed\xa0\x80",
	"0", "-0", "1", "00", "-1", "1.0", "0.0", "1e0", "1E+2", "1e400", "1e-400", "0e400", "123456789012345678901234567890", "1.", ".5", "-",
	"4", "8", "16", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
	"null", "true", "false", "NaN", "Infinity", "nul", `""`, `"a"`, `"dtype"`, `"shape"`, `"data_offsets"`, `"__metadata__"`, `"x"`,
	`"F32"`, `"I32"`, `"F4"`, `"F6_E3M2"`, `"U8"`, `"BOOL"`, `"C64"`, `"f32"`, "[]", "{}", "[0,0]", "[0,4]", "[4,8]", "[1,2,3]", `{"I32":null}`,
	`\u0061`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\uD83D\u0061`, `\u00`, `\n`, `\/`, `\x`, `\`, "é", "😀",
	`,"x":1`, `"x":{"y":[]},`, `,"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, `"b":["U8",[],[0,1]],`, `"__metadata__":{"k":"v"},`, `"__metadata__":null,`,
}

func (m *mutator) next() []byte {
	seed := m.good[m.rand.IntN(len(m.good))]
	if m.rand.IntN(4) == 0 {
		seed = m.all[m.rand.IntN(len(m.all))]
	}
	text, data := slices.Clone(seed[0]), slices.Clone(seed[1])
	for again := true; again; again = m.rand.IntN(4) == 0 {
		text = m.mutate(text)
	}
	switch m.rand.IntN(16) {
	case 0:
		data = append(data, 0)
	case 1:
		data = data[:len(data)/2]
	}
	return rawFile(string(text), data...)
}

func (m *mutator) mutate(b []byte) []byte {
	at := m.rand.IntN(len(b) + 1)
	end := min(len(b), at+1+m.rand.IntN(4))
	token := []byte(tokens[m.rand.IntN(len(tokens))])
	switch m.rand.IntN(6) {
	case 0:
		return slices.Delete(b, at, end)
	case 1:
		return slices.Insert(b, at, token...)
	case 2:
		return slices.Replace(b, at, end, token...)
	case 3:
		return m.replaceWord(b, token)
	case 4:
		if at < len(b) {
			b[at] ^= 1 << m.rand.IntN(8)
		}
		return b
	}
	return m.swapNumber(b)
}

// replaceWord puts token in place of a whole number or string.
func (m *mutator) replaceWord(b, token []byte) []byte {
	at := m.rand.IntN(len(b) + 1)
	isWord := func(c byte) bool {
		return c == '"' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	lo, hi := at, at
	for lo > 0 && isWord(b[lo-1]) {
		lo--
	}
	for hi < len(b) && isWord(b[hi]) {
		hi++
	}
	return slices.Replace(b, lo, hi, token...)
}

// swapNumber changes one digit.
func (m *mutator) swapNumber(b []byte) []byte {
	for range 64 {
		if len(b) == 0 {
			break
		}
		if at := m.rand.IntN(len(b)); '0' <= b[at] && b[at] <= '9' {
			b[at] = byte('0' + m.rand.IntN(10))
			break
		}
	}
	return b
}

// TestDifferentialWriter lets the reference judge what Build and Write make.
func TestDifferentialWriter(t *testing.T) {
	r := startReference(t)
	var tensors []*Tensor
	for i, name := range hostileNames() {
		d := DType(1 + i%(len(dtypes)-1))
		tensor, err := FromBytes(Info{name, d, []int64{2, 4}}, make([]byte, d.Bits()))
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, tensor)
	}
	var b bytes.Buffer
	if err := Write(&b, map[string]string{"format": "pt", "\x01\"\\": "é\n"}, tensors); err != nil {
		t.Fatal(err)
	}
	if !r.compare(t, b.Bytes()) {
		t.Error("refused")
	}
}
