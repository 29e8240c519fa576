package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// A tab is one person's browser: cookies of its own, and a record of whatever
// its console complained of.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	postgres bool // the house's database

	mu       sync.Mutex
	expected []string // parts of complaints that a test provokes
	heard    []string
}

// required fails where RAHASIA_REQUIRE lists what is missing, and skips elsewhere.
func required(t testing.TB, name, missing string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("RAHASIA_REQUIRE"), ","), name) {
		t.Fatalf("%s is required, and %s", name, missing)
	}
	t.Skipf("%s: %s", name, missing)
}

// chrome is the one headless Chromium of all tests: starting one takes longer than
// most tests. It ends with the process.
type chrome struct {
	once sync.Once
	path string
	ctx  context.Context
	end  []context.CancelFunc
}

func (c *chrome) start() {
	var err error
	if c.path, err = exec.LookPath("chromium"); err != nil {
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(c.path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("accept-lang", "en"), chromedp.Flag("force-prefers-reduced-motion", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 900))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	c.end = append(c.end, cancel)
	c.ctx, cancel = chromedp.NewContext(allocator)
	c.end = append(c.end, cancel)
	if err := chromedp.Do(c.ctx); err != nil {
		c.stop()
		panic(err)
	}
}

func (c *chrome) stop() {
	for _, end := range slices.Backward(c.end) {
		end()
	}
}

var chromium chrome

// openBrowser opens a browser of somebody's own: without the cookies of another.
func openBrowser(t *testing.T, h *house) *tab {
	t.Helper()
	chromium.once.Do(chromium.start)
	if chromium.path == "" {
		required(t, "chromium", "chromium is not on the PATH (Debian: apt-get install chromium)")
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: h.url, postgres: h.postgres != ""}
	messages := chromedp.Console(ctx)
	b.do() // opens it
	go b.listen(messages)
	return b
}

func (b *tab) listen(messages iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range messages {
		if err != nil {
			return // the test has ended
		}
		if m.IsException() || m.Type == "error" || m.Type == "warning" {
			b.mu.Lock()
			b.heard = append(b.heard, m.String())
			b.mu.Unlock()
		}
	}
}

// expect names a part of a complaint that is no failure, such as "403": browsers
// report each refused page on their console.
func (b *tab) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, part)
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// open goes to a page and waits until it is there.
func (b *tab) open(path string) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.Navigate(b.base+path), chromedp.WaitReady("main"))
	if err != nil && strings.Contains(err.Error(), "net::ERR_ABORTED") { // by the page it left, which was just reloading itself
		err = chromedp.Do(b.ctx, chromedp.Navigate(b.base+path), chromedp.WaitReady("main"))
	}
	require.NoError(b.t, err, path)
}

// signIn signs in by the form, as one of the seeded accounts.
func (b *tab) signIn(name string) {
	b.t.Helper()
	b.open("/login")
	b.fill(`input[name=name]`, name)
	b.fill(`input[name=password]`, seed.Password)
	b.click(`form[action="/login"] button`)
}

// fill types into a field, in place of what stood there.
func (b *tab) fill(field, value string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(field))
	js[string](b, fmt.Sprintf(`document.querySelector(%q).value = ""`, field))
	b.do(chromedp.SendKeys(field, value))
}

// click clicks what leads to another page, and waits for that.
func (b *tab) click(what string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(what))
	_, err := chromedp.RunResponse(b.ctx, chromedp.Click(what))
	require.NoError(b.t, err, what)
	b.do(chromedp.WaitReady("footer"))
}

// js returns what an expression is in the page; of a promise, what it promised.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err)
	return v
}

// text is what the page's main part reads.
func (b *tab) text() string {
	b.t.Helper()
	return js[string](b, `document.querySelector("main").innerText`)
}

// sees requires texts in the page's main part.
func (b *tab) sees(texts ...string) {
	b.t.Helper()
	all := b.text()
	for _, text := range texts {
		require.Contains(b.t, all, text)
	}
}

// look takes a picture of the page, for people, into the test's artefacts
// (go test -artifacts), checks its accessibility with axe, in light and in dark
// and on a telephone, and that the console is silent. A page is the same whatever
// database is below it: on PostgreSQL only the console is asked.
func (b *tab) look(name string) {
	b.t.Helper()
	if b.postgres {
		b.quiet()
		return
	}
	b.picture(name)
	b.axe(name, "{}")
	b.colours("dark")
	b.axe(name+", dark", `{runOnly: ["color-contrast", "link-in-text-block"]}`) // those of colours
	b.picture(name + "-dark")
	b.colours("light")
	b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	b.picture(name + "-phone")
	require.LessOrEqual(b.t, js[int](b, `document.documentElement.scrollWidth`), 390, "%s is wider than a telephone", name)
	b.do(chromedp.EmulateViewport(1280, 900))
	b.quiet()
}

func (b *tab) colours(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(b.t, err)
}

// picture is drawn only where it is kept: by go test -artifacts.
func (b *tab) picture(name string) {
	b.t.Helper()
	if flag.Lookup("test.artifacts").Value.String() != "true" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600))
}

// quiet requires that the console complained of nothing unexpected.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.heard {
		require.True(b.t, slices.ContainsFunc(b.expected, func(part string) bool { return strings.Contains(text, part) }), "console: %s", text)
	}
}

// axe requires that axe-core finds nothing by the rules of WCAG 2.2 A and AA and
// its best practices, or by those that its options name.
func (b *tab) axe(name, options string) {
	b.t.Helper()
	source, err := os.ReadFile("testdata/axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		required(b.t, "axe", "axe-core is not installed (npm ci --prefix examples/telemedicine/testdata/axe)")
	}
	const run = `axe.run(%s).then(r => JSON.stringify({passed: r.passes.length, violations: r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary)}))}))`
	if js[string](b, `typeof axe`) == "undefined" {
		js[int](b, string(source)+";0")
	}
	var found struct {
		Passed     int
		Violations []map[string]any
	}
	require.NoError(b.t, json.Unmarshal([]byte(js[string](b, fmt.Sprintf(run, options))), &found))
	require.Positive(b.t, found.Passed, "%s: no rule was tried", name)
	require.Empty(b.t, found.Violations, name)
}

// TestBrowserSignIn: the door, in both languages, and a refusal.
func TestBrowserSignIn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.open("/")
		b.look("login")
		b.click(`.language button`)
		b.sees("Kata sandi")
		b.click(`.language button`)
		b.signIn("dr-ayu")
		require.Equal(t, h.url+"/doctor", js[string](b, `location.href`))
		b.expect("401")
		b.click(`form[action="/logout"] button`)
		b.fill(`input[name=name]`, "dr-ayu")
		b.fill(`input[name=password]`, "not the password")
		b.click(`form[action="/login"] button`)
		b.sees("do not go together")
		b.look("login-refused")
	})
}
