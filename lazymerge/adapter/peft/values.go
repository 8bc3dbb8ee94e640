package peft

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// values reads typed fields and keeps the first error.
type values struct {
	path string
	obj  object
	err  error
}

func (v *values) fail(field string, raw json.RawMessage, reason string) {
	if v.err == nil {
		v.err = &FieldError{Path: v.path, Field: field, Value: shorten(raw), Reason: reason}
	}
}

// field returns a value, nil when the field is absent or null.
func (v *values) field(name string) json.RawMessage {
	raw, ok := v.obj.get(name)
	if !ok || string(raw) == "null" {
		return nil
	}
	return raw
}

func (v *values) boolean(name string) bool {
	raw := v.field(name)
	switch string(raw) {
	case "", "false":
		return false
	case "true":
		return true
	}
	v.fail(name, raw, "not true or false")
	return false
}

func (v *values) text(name string) string {
	raw := v.field(name)
	if raw == nil {
		return ""
	}
	s, ok := decodeString(raw)
	if !ok {
		v.fail(name, raw, "not a string")
	}
	return s
}

// rank reads a positive integer; PEFT refuses any other rank.
func (v *values) rank(name string, raw json.RawMessage) int64 {
	n, ok := decodeInt(raw)
	if !ok {
		v.fail(name, raw, "not an integer")
		return 0
	}
	if n <= 0 {
		v.fail(name, raw, "a rank is positive")
	}
	return n
}

// positive reads an integer above 0, as all ranks are.
func (v *values) positive(field string, otherwise int64) int64 {
	if raw, ok := v.obj.get(field); ok {
		return v.rank(field, raw)
	}
	return otherwise
}

// saved reads whether something that can be drawn again is in the file.
func (v *values) saved(field string, otherwise bool) bool {
	if v.field(field) == nil {
		return otherwise
	}
	return v.boolean(field)
}

// seed reads an integer that seeds a generator.
func (v *values) seed(field string, otherwise int64) int64 {
	raw := v.field(field)
	if raw == nil {
		return otherwise
	}
	n, ok := decodeInt(raw)
	if !ok {
		v.fail(field, raw, "not an integer")
	}
	return n
}

// integer reads an integer.
func (v *values) integer(name string, raw json.RawMessage) int64 {
	n, ok := decodeInt(raw)
	if !ok {
		v.fail(name, raw, "not an integer")
	}
	return n
}

func (v *values) number(name string, raw json.RawMessage) float64 {
	f, ok := decodeFloat(raw)
	if !ok {
		v.fail(name, raw, "not a number")
	}
	return f
}

// names reads a list of strings.
func (v *values) names(name string) []string {
	raw := v.field(name)
	if raw == nil {
		return nil
	}
	var list []string
	if !decodeList(raw, &list) {
		v.fail(name, raw, "not a list of names")
	}
	return list
}

// namesOrText reads what PEFT takes as a list of names or as one regular expression.
func (v *values) namesOrText(name string) (list []string, text string) {
	raw := v.field(name)
	if raw == nil {
		return nil, ""
	}
	if s, ok := decodeString(raw); ok {
		return nil, s
	}
	if !decodeList(raw, &list) {
		v.fail(name, raw, "neither a string nor a list of names")
	}
	return list, ""
}

func (v *values) object(name string) object {
	raw := v.field(name)
	if raw == nil {
		return nil
	}
	o, err := parseObject(raw)
	if err != nil {
		v.fail(name, raw, err.Error())
	}
	return o
}

func decodeString(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

// decodeList reads a list without nulls: Go would make zero values of them.
func decodeList[T any](raw json.RawMessage, list *[]T) bool {
	var items []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		return false
	}
	for _, item := range items {
		var x T
		if string(item) == "null" || json.Unmarshal(item, &x) != nil {
			return false
		}
		*list = append(*list, x)
	}
	return true
}

// decodeInt takes 8 and 8.0.
func decodeInt(raw json.RawMessage) (int64, bool) {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	f, ok := decodeFloat(raw)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func decodeFloat(raw json.RawMessage) (float64, bool) {
	if len(raw) == 0 || !strings.ContainsRune("-0123456789", rune(raw[0])) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil
}

// truthy is Python's bool() of a JSON value.
func truthy(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", `""`:
		return false
	}
	switch raw[0] {
	case '[':
		var l []json.RawMessage
		return json.Unmarshal(raw, &l) != nil || len(l) > 0
	case '{':
		o, err := parseObject(raw)
		return err != nil || len(o) > 0
	}
	f, ok := decodeFloat(raw)
	return !ok || f != 0
}

// shorten makes a value fit for a message.
func shorten(raw json.RawMessage) string {
	const most = 80
	s := strings.Join(strings.Fields(string(raw)), " ")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// refuse says that a value is understood and not merged.
func (v *values) refuse(field, reason string) {
	if v.err == nil {
		v.err = &UnsupportedError{Path: v.path, Type: v.text("peft_type"), Field: field, Value: shorten(v.field(field)), Reason: reason}
	}
}

// fullPattern compiles a regular expression that is to match a whole name.
func (v *values) fullPattern(field, text string) *pattern {
	p, err := compileFull(text)
	if err != nil {
		v.fail(field, v.field(field), "the pattern cannot be used: "+err.Error())
	}
	return p
}
