package risk

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// The first byte of a cell's key says of which kind it is, so that neither
// NULL and the empty string nor 1 and "1" are one value.
const (
	tagNull   = 'n'
	tagString = 's'
	tagBool   = 'b'
	tagInt    = 'i'
	tagFloat  = 'f'
	tagMark   = 'm' // why there is no value, such as pseudo.Unfit
)

// appendCell appends the key of a cell to dst. It reports false for a cell
// that cannot be measured.
func appendCell(dst []byte, cell any) ([]byte, bool) {
	before := len(dst)
	switch c := cell.(type) {
	case nil:
		return append(dst, tagNull), true
	case string:
		dst = append(append(dst, tagString), c...)
	default:
		v := reflect.ValueOf(cell)
		switch v.Kind() {
		case reflect.String:
			dst = append(append(dst, tagString), v.String()...)
		case reflect.Bool:
			dst = strconv.AppendBool(append(dst, tagBool), v.Bool())
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			dst = strconv.AppendInt(append(dst, tagInt), v.Int(), 10)
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			dst = strconv.AppendUint(append(dst, tagInt), v.Uint(), 10)
		case reflect.Float32, reflect.Float64:
			dst = strconv.AppendFloat(append(dst, tagFloat), v.Float(), 'g', -1, v.Type().Bits())
		case reflect.Struct:
			if v.NumField() > 0 {
				return dst, false
			}
			dst = append(append(dst, tagMark), fmt.Sprint(cell)...)
		default:
			return dst, false
		}
	}
	return dst, len(dst)-before <= maxCell+1
}

// appendText appends the key of a cell that counts for more privacy where there
// are more values, a person or a sensitive value: its text alone, because that
// is what a released table shows of it.
func appendText(dst []byte, cell any) ([]byte, bool) {
	key, ok := appendCell(dst, cell)
	if ok && cell != nil {
		ok = key[len(dst)] != tagMark // is no value, and must not count as one
		key[len(dst)] = tagString
	}
	return key, ok
}

// appendNumber appends the key of a numeric cell, which is that of the number
// however it is written: otherwise "7" and "7.0" would make a class look
// diverse.
func appendNumber(dst []byte, cell any) ([]byte, bool) {
	key, ok := appendCell(dst, cell)
	if !ok || cell == nil {
		return key, ok
	}
	n, err := strconv.ParseFloat(string(key[len(dst)+1:]), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || key[len(dst)] == tagBool {
		return dst, false
	}
	if n == 0 {
		n = 0 // -0 is 0
	}
	return strconv.AppendFloat(append(dst, tagFloat), n, 'g', -1, 64), true
}
