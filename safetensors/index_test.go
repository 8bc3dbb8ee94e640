package safetensors

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

const indexText = `{
  "metadata": {
    "total_parameters": 12,
    "total_size": 48
  },
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b\"\n\u00e9\ud83d\ude00": "sub/model-00002-of-00002.safetensors"
  }
}
`

func TestIndexRoundTrip(t *testing.T) {
	x, err := ParseIndex([]byte(indexText))
	if err != nil {
		t.Fatal(err)
	}
	want := &Index{
		Metadata:  map[string]json.RawMessage{"total_size": json.RawMessage("48"), "total_parameters": json.RawMessage("12")},
		WeightMap: map[string]string{"a": "model-00001-of-00002.safetensors", "b\"\né😀": "sub/model-00002-of-00002.safetensors"},
	}
	if !reflect.DeepEqual(x, want) {
		t.Errorf("got %q", x)
	}
	b, err := x.Encode()
	if err != nil || string(b) != indexText {
		t.Errorf("%v\n%s", err, b)
	}
}

func TestIndexEncodeEmpty(t *testing.T) {
	b, err := (&Index{}).Encode()
	if want := "{\n  \"metadata\": {},\n  \"weight_map\": {}\n}\n"; err != nil || string(b) != want {
		t.Errorf("%v %q", err, b)
	}
}

func TestIndexAccepts(t *testing.T) {
	for _, text := range []string{
		`{"weight_map":{}}`,
		"\n{\"metadata\":null,\"weight_map\":{\"a\":\"\"}}\t",
		`{"extra":[1,{"a":1,"a":2}],"weight_map":{}}`,
		`{"weight_map":{},"metadata":{"total_size":1.5e3,"nested":{"b":[],"a":{}},"s":"\u00e9"}}`,
	} {
		x, err := ParseIndex([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		checkIndexRoundTrip(t, x)
	}
}

func TestIndexRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "the end"},
		{`[]`, "expected an object"},
		{`{}`, "`weight_map`: is missing"},
		{`{"metadata":{}}`, "is missing"},
		{`{"weight_map":null}`, "expected an object for weight_map"},
		{`{"weight_map":[]}`, "expected an object for weight_map"},
		{`{"weight_map":{"a":1}}`, "`a`: file is '1'"},
		{`{"weight_map":{"a":null}}`, "`a`: file is 'n'"},
		{`{"weight_map":{"a":["x"]}}`, "`a`: file is '['"},
		{`{"weight_map":{"a":"x","\u0061":"y"}}`, "`a`: occurs twice"},
		{`{"weight_map":{},"weight_map":{}}`, "`weight_map`: occurs twice"},
		{`{"metadata":{"k":1,"k":2},"weight_map":{}}`, "`k`: occurs twice"},
		{`{"metadata":[],"weight_map":{}}`, "expected an object for metadata"},
		{`{"weight_map":{}} x`, "trailing characters"},
		{`{"weight_map":{"a":"\ud800"}}`, "lone surrogate"},
		{"{\"weight_map\":{\"a\":\"\xff\"}}", "invalid UTF-8 at byte 20"},
		{"\ufeff{\"weight_map\":{}}", "expected an object"},
	} {
		_, err := ParseIndex([]byte(c.text))
		if e := (*IndexError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestIndexEncodeRefuses(t *testing.T) {
	for _, x := range []Index{
		{WeightMap: map[string]string{"\xff": "a"}},
		{WeightMap: map[string]string{"a": "\xff"}},
		{Metadata: map[string]json.RawMessage{"\xff": json.RawMessage("1")}},
		{Metadata: map[string]json.RawMessage{"a": json.RawMessage("{")}},
		{Metadata: map[string]json.RawMessage{"a": nil}},
	} {
		if b, err := x.Encode(); err == nil {
			t.Errorf("%q gives %q", x, b)
		}
	}
}

// checkIndexRoundTrip encodes x, and demands that what comes back is equal, its
// text stable, and its meaning to encoding/json the same.
func checkIndexRoundTrip(tb testing.TB, x *Index) {
	tb.Helper()
	b, err := x.Encode()
	if err != nil {
		tb.Fatalf("encode: %v", err)
	}
	again, err := ParseIndex(b)
	if err != nil {
		tb.Fatalf("%v\n%s", err, b)
	}
	if !reflect.DeepEqual(again.WeightMap, x.WeightMap) || len(again.Metadata) != len(x.Metadata) {
		tb.Fatalf("got %q, want %q", again, x)
	}
	if twice, err := again.Encode(); err != nil || string(twice) != string(b) {
		tb.Fatalf("%v: encoded twice:\n%s\nonce:\n%s", err, twice, b)
	}
	var other Index
	if err := json.Unmarshal(b, &struct {
		M *map[string]json.RawMessage `json:"metadata"`
		W *map[string]string          `json:"weight_map"`
	}{&other.Metadata, &other.WeightMap}); err != nil {
		tb.Fatalf("encoding/json: %v\n%s", err, b)
	}
	if !reflect.DeepEqual(other.WeightMap, x.WeightMap) {
		tb.Fatalf("encoding/json reads %q, want %q", other.WeightMap, x.WeightMap)
	}
}

func FuzzParseIndex(f *testing.F) {
	for _, seed := range []string{indexText, `{"weight_map":{}}`, `{"metadata":{"a":[1,{}]},"weight_map":{"a":"b"},"x":null}`, `{"weight_map":{"\ud83d\ude00":"\u0000"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseIndex(b)
		if e := (*IndexError)(nil); err != nil && !errors.As(err, &e) {
			t.Fatalf("error %v is no *IndexError", err)
		}
		if err == nil {
			checkIndexRoundTrip(t, x)
		}
	})
}
