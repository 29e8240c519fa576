package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// width is how many columns a line may have.
const width = 108

// A screen is what the story is told on: a terminal, a file or a pipe. It
// keeps the first error of writing, so that the story need not ask each time.
type screen struct {
	out  io.Writer
	live bool // a terminal, on which a line can be drawn over
	err  error
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		s.live = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return s
}

func (s *screen) print(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.out, text)
	}
}

// line prints a line as it is.
func (s *screen) line(text string) { s.print(text + "\n") }

func (s *screen) chapter(n int, title string) { s.print(fmt.Sprintf("\n%d  %s\n", n, title)) }

// say prints sentences, broken into lines at spaces.
func (s *screen) say(format string, args ...any) { s.flow("   ", format, args...) }

// show prints something seen, further in.
func (s *screen) show(format string, args ...any) { s.flow("      ", format, args...) }

func (s *screen) flow(indent, format string, args ...any) {
	line := ""
	for word := range strings.FieldsSeq(fmt.Sprintf(format, args...)) {
		if line != "" && utf8.RuneCountInString(indent+line+" "+word) > width {
			s.line(indent + line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	s.line(indent + line)
}

// quote prints what somebody else says, such as an error, word for word.
func (s *screen) quote(v any) { s.show("%v", v) }

// columns prints cells side by side, cut to their widths.
func (s *screen) columns(widths []int, cells ...string) {
	var b strings.Builder
	for i, cell := range cells {
		b.WriteString("  " + pad(cell, widths[i]))
	}
	s.line("    " + strings.TrimRight(b.String(), " "))
}

func pad(text string, width int) string {
	r := []rune(text)
	if len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return text + strings.Repeat(" ", width-len(r))
}

// progress returns a function that shows how much is done: by a bar on a
// terminal, otherwise by a line for each quarter.
func (s *screen) progress(what string, total int) func(done int) {
	const cells = 40
	quarter := 0
	return func(done int) {
		full := cells * done / max(total, 1)
		text := fmt.Sprintf("   [%s%s] %s of %s %s", strings.Repeat("#", full), strings.Repeat(".", cells-full), count(done), count(total), what)
		switch {
		case s.live && done < total:
			s.print("\r" + text)
		case s.live:
			s.line("\r" + text)
		case 4*done/max(total, 1) > quarter:
			quarter = 4 * done / max(total, 1)
			s.line(text)
		}
	}
}

// count writes a number with commas between the thousands.
func count[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// listed joins words as a sentence does.
func listed(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
