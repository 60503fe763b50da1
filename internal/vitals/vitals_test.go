package vitals

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// value is a metric's; false: it is not there.
func value(t *testing.T, reg *prometheus.Registry, name string) (float64, bool) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue(), true
		}
	}
	return 0, false
}

// A setting is told of when it changes, and the metric counts those that are unmet.
func TestSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		var unmet []string
		var fails error
		reg := prometheus.NewPedanticRegistry()
		s := NewSettings(reg, func(context.Context) ([]string, error) { return unmet, fails }, slog.New(slog.NewTextHandler(&said, nil)))
		fails = errors.New("away")
		if err := s.Look(t.Context()); !errors.Is(err, fails) {
			t.Error(err)
		}
		if v, ok := value(t, reg, "indelible_database_settings_unmet"); ok {
			t.Errorf("it is %v before it is known", v)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go s.Follow(ctx)
		for i, step := range []struct {
			unmet []string
			fails error
			want  float64
			says  string
		}{
			{[]string{"a is 1"}, nil, 1, `level=WARN msg="a is 1"`},
			{[]string{"a is 1", "b is 2"}, nil, 2, `level=WARN msg="b is 2"`},
			{nil, errors.New("away"), 2, ""},
			{[]string{"a is 1", "b is 2"}, nil, 2, ""},
			{nil, nil, 0, `level=INFO msg="the database has all settings that it should have"`},
		} {
			said.Reset()
			unmet, fails = step.unmet, step.fails
			time.Sleep(every)
			synctest.Wait()
			if v, ok := value(t, reg, "indelible_database_settings_unmet"); !ok || v != step.want || float64(len(s.Warnings())) != step.want {
				t.Errorf("step %d: %v, %v, %q", i, v, ok, s.Warnings())
			}
			if got := said.String(); !strings.Contains(got, step.says) || strings.Count(got, "\n") != min(1, len(step.says)) {
				t.Errorf("step %d says %q", i, got)
			}
		}
		cancel()
	})
}

func TestReadyAndBuild(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	why := errors.New("starting")
	Ready(reg, func() error { return why })
	Build(reg, "logserver", "v1.2.3", "abc", "go1.27")
	if v, ok := value(t, reg, "indelible_ready"); !ok || v != 0 {
		t.Error(v, ok)
	}
	why = nil
	if v, ok := value(t, reg, "indelible_ready"); !ok || v != 1 {
		t.Error(v, ok)
	}
	if v, ok := value(t, reg, "indelible_build_info"); !ok || v != 1 {
		t.Error(v, ok)
	}
}
