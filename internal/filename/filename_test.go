package filename

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestCheck(t *testing.T) {
	for _, name := range []string{"", "log.key", "./pkcs11:token=x", "/etc/a:b", "a b:c", `C:\keys\log.key`, "c:log.key", "7z:x", ":x", "mysql:/etc/dsn", "MySQL:/etc/dsn", "s3://bucket"} {
		if err := Check(name, "mysql:", "s3:"); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, uri := range []string{"pkcs11:token=x;pin-value=1234", "hashivault:x", "vault:x", "file:///x", "mysq:x", "mysqlx:x", "a+b-c.d:x"} {
		err := Check(uri, "mysql:", "s3:")
		if err == nil || !strings.Contains(err.Error(), `"`+uri[:strings.IndexByte(uri, ':')+1]) || !strings.Contains(err.Error(), "mysql:, s3:") {
			t.Errorf("%q: %v", uri, err)
		}
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("a secret is in %v", err)
		}
	}
}

func TestCheckFlags(t *testing.T) {
	for _, c := range []struct {
		flag, value string
		fine        bool
	}{
		{"key", "pkcs11:token=x", false},
		{"key", "my.key", true},
		{"log-key", "localhost:8080/log+0a1b2c3d+AAAA", true},
		{"log-key", "vault:x", false},
		{"signer", "SHA256:00", true},
		{"signer", "hashivault:x", false},
		{"tsa", "a.pem", true},
		{"tsa", "https://tsa.example.com/chain.pem", false},
		{"name", "pkcs11:token=x", true},
	} {
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		fs.String("key", "", "`FILE` of the key")
		fs.String("log-key", "", "the log: `VKEY|FILE`")
		fs.String("signer", "", "the signer: `FILE|SHA256:HEX`")
		fs.StringArray("tsa", nil, "a `FILE`, and more")
		fs.String("name", "", "no file")
		if err := fs.Parse([]string{"--tsa", "first.pem", "--" + c.flag, c.value}); err != nil {
			t.Fatal(err)
		}
		err := CheckFlags(fs)
		if (err == nil) != c.fine || err != nil && !strings.HasPrefix(err.Error(), "--"+c.flag+": ") {
			t.Errorf("--%s %s: %v", c.flag, c.value, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("pkcs11:x")
	f.Add("C:\\x")
	f.Fuzz(func(t *testing.T, value string) {
		if err := Check("./" + value); err != nil {
			t.Fatalf("%q: %v", "./"+value, err)
		}
		if err := Check(value, "mysql:"); err == nil && Check(value) != nil && !strings.HasPrefix(strings.ToLower(value), "mysql:") {
			t.Fatalf("%q is taken", value)
		}
	})
}
