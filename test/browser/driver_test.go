package browser

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bin holds what TestMain makes: the programs, and the driver with its modules.
var bin string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "browser"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	for _, step := range []func() error{
		func() error { return run("../..", "go", "build", "-o", bin+"/", "./cmd/logserver", "./cmd/logcli") },
		func() error { return os.CopyFS(filepath.Join(bin, "js"), os.DirFS("js")) },
		func() error {
			return run(filepath.Join(bin, "js"), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
		},
	} {
		if err := step(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// browser is a browser with one page.
type browser struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

type object = map[string]any

// newBrowser starts a browser, which ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatalf("the tests need Chromium: %v", err)
	}
	cmd := exec.Command("node", filepath.Join(bin, "js", "driver.mjs"))
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, in: in, out: bufio.NewScanner(out)}
	b.out.Buffer(nil, 64<<20)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the driver: %v", err)
		}
	})
	return b
}

// in is the same browser for another test.
func (b *browser) at(t *testing.T) *browser { return &browser{t: t, in: b.in, out: b.out} }

// try takes a step.
func (b *browser) try(do string, step object) (value json.RawMessage, err error) {
	b.t.Helper()
	all := object{"do": do}
	for k, v := range step {
		all[k] = v
	}
	line, err := json.Marshal(all)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(line, '\n')); err != nil {
		b.t.Fatal(err)
	}
	if !b.out.Scan() {
		b.t.Fatalf("the driver ended: %v", b.out.Err())
	}
	var answer struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(b.out.Bytes(), &answer); err != nil {
		b.t.Fatalf("%v: %s", err, b.out.Text())
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", line, answer.Error)
	}
	return answer.Value, nil
}

// do takes a step that must succeed.
func (b *browser) do(do string, step object) json.RawMessage {
	b.t.Helper()
	value, err := b.try(do, step)
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

func (b *browser) open(url string, how object) {
	b.t.Helper()
	b.do("open", how)
	b.do("goto", object{"url": url})
}

// text waits for an element, and returns what it says.
func (b *browser) text(on string) (text string) {
	b.t.Helper()
	b.decode(b.do("text", object{"on": on}), &text)
	return text
}

func (b *browser) count(on string) (n int) {
	b.t.Helper()
	b.decode(b.do("count", object{"on": on}), &n)
	return n
}

func (b *browser) list(do string) (list []string) {
	b.t.Helper()
	b.decode(b.do(do, nil), &list)
	return list
}

func (b *browser) decode(value json.RawMessage, into any) {
	b.t.Helper()
	if err := json.Unmarshal(value, into); err != nil {
		b.t.Fatalf("%v: %s", err, value)
	}
}

// lookUp types something into the page's field.
func (b *browser) lookUp(what string) {
	b.t.Helper()
	b.do("fill", object{"on": "#what", "text": what})
	b.do("press", object{"key": "Enter"})
}

// proven waits until an entry is proven.
func (b *browser) proven(index int64) {
	b.t.Helper()
	if got := b.text("[data-verdict=proven], [data-verdict=failed], [data-verdict=trouble], [data-verdict=contradiction]"); !strings.Contains(got, "Proven in this browser: entry "+grouped(index)+" of") {
		b.t.Fatalf("entry %d: the page says: %s", index, b.text("main"))
	}
}

func grouped(n int64) string {
	if n >= 1000 {
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprint(n)
}

// quiet checks that nothing went wrong in the page, and that no request left this
// machine.
func (b *browser) quiet() {
	b.t.Helper()
	for _, wrong := range b.list("wrong") {
		b.t.Error(wrong)
	}
	for _, r := range b.list("requests") {
		_, url, _ := strings.Cut(r, " ")
		if !strings.HasPrefix(url, "http://127.0.0.1:") && !strings.HasPrefix(url, "http://log.test:") && !strings.HasPrefix(url, "blob:") {
			b.t.Errorf("the page asked %s", url)
		}
		if !strings.HasPrefix(r, "GET ") || !strings.HasSuffix(r, " 0") {
			b.t.Errorf("the page sent something: %s", r)
		}
	}
}
