package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func none(string) (string, bool) { return "", false }

func TestSettingsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string // empty: they are fine
	}{
		{[]string{"--max-queue", "1023"}, "--max-queue is 1023, and --max-batch 1024"},
		{[]string{"--max-queue", "1024"}, ""},
		{[]string{"--max-queue", "10", "--max-batch", "10"}, ""},
		{[]string{"--max-queue-bytes", "65534"}, "--max-queue-bytes is 65534"},
		{[]string{"--max-queue-bytes", "64KiB"}, ""},
		{[]string{"--request-memory", "8388607"}, "--request-memory is 8388607, and --max-body 8388608"},
		{[]string{"--request-memory", "8MiB"}, ""},
		{[]string{"--http", "8080"}, `--http is "8080", and not HOST:PORT`},
		{[]string{"--grpc", "127.0.0.1"}, `--grpc is "127.0.0.1", and not HOST:PORT`},
		{[]string{"--grpc", ""}, `--grpc is "", and not HOST:PORT`},
		{[]string{"--admin", "127.0.0.1:65536"}, `"65536" is not a port`},
		{[]string{"--admin", ":-1"}, `"-1" is not a port`},
		{[]string{"--grpc", "127.0.0.1:8080"}, `--http and --grpc are both "127.0.0.1:8080"`},
		{[]string{"--http", ":0", "--grpc", ":0", "--admin", "[::1]:65535"}, ""},
		{[]string{"--http", "log.example.com:http"}, ""},
		{[]string{"--trusted-proxies", "10.0.0.0/8,192.0.2.1", "--trusted-proxies", "2001:db8::/32"}, ""},
		{[]string{"--trusted-proxies", "proxy.example.com"}, `--trusted-proxies: "proxy.example.com" is no network and no address`},
		{[]string{"--trusted-proxies", "0.0.0.0/0"}, "trusts every address"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"config", "check"}, c.args...), none, &out, &out)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q: %v, and not %q", c.args, err, c.says)
		}
	}
}

// TestGuardStatusOfANewLog: zeros are no root.
func TestGuardStatusOfANewLog(t *testing.T) {
	args := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--origin", "log.example.com"}
	var out bytes.Buffer
	if err := run(t.Context(), append([]string{"init"}, args...), none, &out, &out); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := run(t.Context(), append([]string{"guard", "status"}, args...), none, &out, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "published  nothing signed yet\n") || strings.Contains(got, strings.Repeat("0", 64)) {
		t.Errorf("it prints:\n%s", got)
	}
}
