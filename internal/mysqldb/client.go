package mysqldb

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// Client is how the client programs that come with a server reach a database.
type Client struct {
	MariaDB   bool   // the server is MariaDB, else MySQL
	BinaryLog bool   // it has a binary log
	Database  string // what the database is called there
	// Options is the text of an option file, which holds the password.
	Options string
}

// Client asks the server which it is.
func (d *Database) Client(ctx context.Context) (Client, error) {
	db := d.Open(1, nil)
	defer db.Close()
	var version string
	var binlog bool
	if err := db.QueryRowContext(ctx, `SELECT VERSION(), @@GLOBAL.log_bin`).Scan(&version, &binlog); err != nil {
		return Client{}, fmt.Errorf("database %s: %w", d, err)
	}
	c := Client{MariaDB: strings.Contains(version, "MariaDB"), BinaryLog: binlog, Database: d.cfg.DBName}
	c.Options = d.clientOptions(c.MariaDB)
	return c, nil
}

func (d *Database) clientOptions(mariadb bool) string {
	var b strings.Builder
	set := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=\"%s\"\n", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value))
		}
	}
	b.WriteString("[client]\n")
	as := d.account.get()
	set("user", as.user)
	set("password", as.password)
	if d.cfg.Net == "unix" {
		set("socket", d.cfg.Addr)
		return b.String()
	}
	host, port, err := net.SplitHostPort(d.cfg.Addr)
	if err != nil {
		host, port = d.cfg.Addr, ""
	}
	set("protocol", "TCP")
	set("host", host)
	set("port", port)
	set("ssl-ca", d.options.TLS.CA)
	set("ssl-cert", d.options.TLS.Cert)
	set("ssl-key", d.options.TLS.Key)
	verified := !d.options.TLS.empty() || d.cfg.TLSConfig == "true"
	encrypted := verified || d.cfg.TLSConfig != "" && d.cfg.TLSConfig != "false"
	switch {
	case verified && mariadb:
		b.WriteString("ssl\nssl-verify-server-cert\n")
	case verified:
		b.WriteString("ssl-mode=VERIFY_IDENTITY\n")
	case encrypted && mariadb:
		b.WriteString("ssl\n")
	case encrypted:
		b.WriteString("ssl-mode=PREFERRED\n")
	}
	return b.String()
}
