package fhir

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxBytes = 1 << 20 // of a resource
	maxDepth = 32      // of its JSON
)

// parse reads one JSON value. Unlike encoding/json it refuses a key that comes
// twice, of which one reader takes the first and another the last.
func parse(text []byte) (map[string]any, error) {
	if len(text) > maxBytes || !utf8.Valid(text) {
		return nil, ErrMalformed
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, ErrMalformed
	}
	obj, ok := v.(map[string]any)
	if _, err := d.Token(); !ok || err != io.EOF {
		return nil, ErrMalformed
	}
	return obj, nil
}

// value reads the next value: map[string]any, []any, string, json.Number or bool.
// FHIR knows neither null nor what is empty; null stands in arrays of primitive
// values only, and this package reads none of these.
func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch {
	case depth > maxDepth, t == nil && depth == 0, t == "":
		return nil, ErrMalformed
	case t == json.Delim('{'):
		return object(d, depth+1)
	case t == json.Delim('['):
		return array(d, depth+1)
	}
	return t, nil
}

func object(d *json.Decoder, depth int) (map[string]any, error) {
	obj := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if _, twice := obj[key]; !ok || twice || !sound(key) {
			return nil, ErrMalformed
		}
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, ErrMalformed
		}
		obj[key] = v
	}
	if len(obj) == 0 {
		return nil, ErrMalformed
	}
	_, err := d.Token()
	return obj, err
}

func array(d *json.Decoder, depth int) ([]any, error) {
	var all []any
	for d.More() {
		v, err := value(d, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if len(all) == 0 {
		return nil, ErrMalformed
	}
	_, err := d.Token()
	return all, err
}

// sound refuses what encoding/json puts in the place of half a surrogate pair:
// two texts would become one.
func sound(s string) bool { return s != "" && !strings.ContainsRune(s, utf8.RuneError) }

// element is a JSON object and where it stands. What has been read of it is
// remembered, so that what has not been can be told.
type element struct {
	in   *importing
	path string
	obj  map[string]any
	read map[string]bool
}

func (in *importing) element(path string, obj map[string]any) *element {
	return &element{in, path, obj, map[string]bool{}}
}

func (e *element) at(name string) string { return e.path + "." + name }

func (e *element) take(name string) (v any, ok bool) {
	e.read[name] = true
	v, ok = e.obj[name]
	return v, ok
}

// ignore marks elements as read that change nothing.
func (e *element) ignore(names ...string) {
	for _, n := range names {
		e.read[n] = true
	}
}

// text returns a string, or "" where there is none.
func (e *element) text(name string) string {
	v, ok := e.take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok || !sound(s) {
		e.in.fail(e.at(name), ErrMalformed)
		return ""
	}
	return s
}

// one returns an element that occurs once at most, or nil.
func (e *element) one(name string) *element {
	v, ok := e.take(name)
	if !ok {
		return nil
	}
	obj, ok := v.(map[string]any)
	if !ok {
		e.in.fail(e.at(name), ErrMalformed)
		return nil
	}
	return e.in.element(e.at(name), obj)
}

// all returns an element that may occur several times.
func (e *element) all(name string) []*element {
	v, ok := e.take(name)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		e.in.fail(e.at(name), ErrMalformed)
	}
	out := make([]*element, 0, len(list))
	for i, v := range list {
		path := e.at(name) + "[" + strconv.Itoa(i) + "]"
		obj, ok := v.(map[string]any)
		if !ok {
			e.in.fail(path, ErrMalformed)
			return nil
		}
		out = append(out, e.in.element(path, obj))
	}
	return out
}

// whole reports whether all of e has been read. An extension that modifies the
// meaning of what it stands in is an error whatever e says.
func (e *element) whole() bool {
	if _, ok := e.obj["modifierExtension"]; ok {
		e.in.fail(e.at("modifierExtension"), ErrNotEvaluated)
	}
	for name := range e.obj {
		if !e.read[name] {
			return false
		}
	}
	return true
}
