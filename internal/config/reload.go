package config

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"strings"

	"indelible/internal/sdnotify"
)

// Reload reads the settings and their files again while a program runs. Where
// something cannot be read, the program goes on with what it had, and the log has
// an error.
type Reload struct {
	Load func() (Values, error)
	// Live has, by name, the settings that a running program takes: each function
	// applies the new value, or reads the file again. The others need a restart,
	// and the log says so when they change.
	Live map[string]func(Values) error
	Log  *slog.Logger
	// Systemd is told when reading begins and ends.
	Systemd sdnotify.Notifier
}

// Follow reloads at each signal until ctx ends. v are the values in effect.
func (r Reload) Follow(ctx context.Context, v Values, again <-chan os.Signal) {
	states := v.states()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again:
			r.Systemd.Reloading()
			r.reload(states)
			r.Systemd.Ready()
		}
	}
}

// state is a setting's value, and what its file holds.
type state struct {
	text    string
	content [sha256.Size]byte
}

func (v Values) states() map[string]state {
	all := make(map[string]state)
	for _, value := range v.list {
		s := state{text: value.Text}
		if value.Type == File && !value.Written {
			if data, err := os.ReadFile(value.Text); err == nil { // not there, or a directory
				s.content = sha256.Sum256(data)
			}
		}
		all[value.Name] = s
	}
	return all
}

// reload brings the states up to date. That of a setting that needs a restart
// stays, so that the log says so again the next time.
func (r Reload) reload(states map[string]state) {
	v, err := r.Load()
	if err != nil {
		r.Log.Error("the settings were not read again, and those from before stay in effect; mend them, and send SIGHUP again", "error", err)
		return
	}
	now := v.states()
	var restart []string
	for _, value := range v.list {
		before, next := states[value.Name], now[value.Name]
		apply, live := r.Live[value.Name]
		if !live || value.Type == File && before.text != next.text {
			if before != next {
				restart = append(restart, value.Name)
			}
			continue
		}
		if err := apply(v); err != nil {
			r.Log.Error("a setting was not read again, and what was in use before stays; mend it, and send SIGHUP again", "setting", value.Name, "error", err)
			continue
		}
		if before != next {
			r.Log.Info("a setting has changed", "setting", value.Name)
		}
		states[value.Name] = next
	}
	if len(restart) > 0 {
		r.Log.Warn("changed settings take effect after a restart", "settings", strings.Join(restart, ", "))
	}
	r.Log.Info("the settings were read again")
}
